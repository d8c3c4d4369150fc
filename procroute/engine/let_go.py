"""Let a process go from its assignment, back to where it came from."""

from __future__ import annotations

from pathlib import Path

from procroute.errors import ProcrouteError
from procroute.kernel import cgroups


def let_go(mount: Path, pid: int, assignment: Path) -> None:
    """Back to the cgroup that an assignment's processes came from, or the nearest living parent of that.

    One that has ended is fine.
    """
    origin = Path(cgroups.origin(assignment).lstrip("/"))
    for candidate in (origin, *origin.parents):
        try:
            cgroups.enter(mount / candidate, pid)
        except (ProcrouteError, OSError):
            continue
        return
