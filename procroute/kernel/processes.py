"""Processes as people know them."""

from __future__ import annotations

from procroute.core.status import Process


def process(pid: int) -> Process:
    """A process by its pid; with no more than that where it has ended, or cannot be seen from here (0)."""
    import psutil  # 20 ms: only for who looks

    if not pid:
        return Process(0)
    try:
        found = psutil.Process(pid)
        with found.oneshot():
            return Process(pid, found.name(), found.username(), tuple(found.cmdline()))
    except psutil.Error:
        return Process(pid)
