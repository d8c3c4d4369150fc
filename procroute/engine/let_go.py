"""Let a process go from its assignment, back to where it came from."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, user_managers

_ELSEWHERE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.EBUSY, errno.EOPNOTSUPP, errno.EINVAL})
"""The cgroup has gone, or takes no processes (cgroup-v2.rst, no internal process constraint; threaded)."""


def let_go(mount: Path, pid: int, assignment: Path) -> None:
    """Back to the cgroup that an assignment's processes came from, or the nearest living parent of that; what
    came from a user's part of the tree, first to his manager's own.

    One that has ended is fine. Raises ProcrouteError where the kernel refuses; then it is where it was.
    """
    origin = Path(cgroups.origin(assignment).lstrip("/"))
    refused: ProcrouteError | None = None
    uid = user_managers.tree_of(f"/{origin}")
    his = [Path(user_managers.leaf(uid).lstrip("/"))] if uid else []
    for candidate in (origin, *his, *origin.parents):
        try:
            cgroups.enter(mount / candidate, pid)
        except ProcrouteError as e:
            number = e.__cause__.errno if isinstance(e.__cause__, OSError) else 0
            if number == errno.ESRCH:
                return
            if number not in _ELSEWHERE:
                raise
            refused = refused or e
        else:
            return
    if refused is not None:
        raise refused
