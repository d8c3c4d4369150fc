"""Words for the person at the terminal: on stderr, never on stdout."""

from __future__ import annotations

from collections.abc import Callable

from procroute.kernel.process_facts import name_of
from procroute.terminal import printable

__all__ = ["Tell", "describe", "printable"]

Tell = Callable[[str], None]


def describe(pid: int) -> str:
    """A process as people know it: `sleep (pid 4711)`. 0: one that cannot be seen from here."""
    if not pid:
        return "a process outside this pid namespace"
    return f"{printable(name_of(pid) or 'a process')} (pid {pid})"
