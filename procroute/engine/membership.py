"""Move one process into an assignment, or all who are in one out of it and back in.

What is moved is a very process, whatever becomes of its number (kernel/pinned.py).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from procroute.engine.let_go import let_go
from procroute.errors import ProcrouteError
from procroute.kernel import cgroup_mount, cgroups
from procroute.kernel.pinned import Known, kin, lives, pinned

_SECONDS: Final = 10.0
"""How long somebody who forks is followed out."""


def enter(assignment: Path, one: Known) -> bool:
    """Move this very process; whether it was there to be moved. Raises ProcrouteError.

    The kernel moves by number. It is this one's as long as it lives; where it has ended meanwhile, whoever
    has the number by now is put back.
    """
    with pinned(one) as pidfd:
        if pidfd is None:
            return False
        try:
            cgroups.enter(assignment, one.pid)
        except ProcrouteError as e:
            if isinstance(e.__cause__, OSError) and e.__cause__.errno == errno.ESRCH:
                return False
            raise
        if lives(pidfd):
            return True
        _put_back(assignment, one)
        return False


def _put_back(assignment: Path, one: Known) -> None:
    """Return who got the number of one that ended to where it was born: its parent's cgroup."""
    found = kin(one.pid)
    if found is None or found[0] == one:
        return
    mount = cgroup_mount.find()
    try:
        below = mount.below(cgroup_mount.of_process(found[1].parent) or "")
    except OSError:
        below = "/"
    if below and mount.path / below.lstrip("/") != assignment:
        cgroups.enter(mount.path / below.lstrip("/"), one.pid)


def let_out(mount: Path, assignment: Path) -> frozenset[Known]:
    """Move everybody out of an assignment, to the cgroup that they came from or its nearest living parent.

    mount: where cgroup v2 is. Who was moved. Raises ProcrouteError where somebody forks faster than that, or
    the kernel refuses; who was moved by then is back, where that can be.
    """
    moved: set[Known] = set()
    try:
        _let_out(mount, assignment, moved)
    except ProcrouteError:
        back_in(assignment, moved)
        raise
    return frozenset(moved)


def back_in(assignment: Path, members: Collection[Known]) -> bool:
    """Undo let_out; whether all who live are in it again."""
    try:
        for one in members:
            enter(assignment, one)
    except (ProcrouteError, OSError):
        return False
    return True


def _let_out(mount: Path, assignment: Path, moved: set[Known]) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        inside = [(pid, folder) for pid, folder in cgroups.processes(assignment) if pid]
        if not inside:
            return
        for pid, folder in inside:
            found = kin(pid)
            if found is not None:
                moved.add(found[0])
            let_go(mount, pid, folder)
    raise ProcrouteError(
        "release-incomplete",
        f"processes in {assignment.name} fork faster than they can be moved",
        "try again",
    )
