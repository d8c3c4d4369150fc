"""Who makes the cgroups of routes and assignments: systemd where the tree is its own, else we.

by hand:      <mount>/procroute.slice/procroute-wan1.slice/run-4711.scope
by systemd:   <mount>/procroute.slice/procroute-wan1.slice/procroute-run-4711.scope
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from procroute.core.service_texts import RUN
from procroute.core.unit_names import unit_of
from procroute.core.unit_texts import anchor_of
from procroute.errors import ProcrouteError
from procroute.identity import SLICE
from procroute.kernel import cgroup_mount, cgroups, files, programs, records, user_managers

_ONE_COMMAND = RUN.partition(".")[0]
_EMPTY_WITHIN = 5.0
"""So long systemd may take to see that a scope has become empty, in seconds."""


class PeopledError(ProcrouteError):
    """A target is not to be removed: processes are in it."""

    def __init__(self, target: Path) -> None:
        super().__init__("kernel-refused", f"there are processes in {target}")


class Newcomer(Struct, frozen=True):
    """A process that gets an assignment of its own.

    name: of the assignment, a word; description: what it is, for people to read; origin: the cgroup, from the
    mount point, to which it returns.
    """

    pid: int
    name: str
    description: str
    origin: str


class Placement(Protocol):
    """What differs between machines. All of it under the lock."""

    by_systemd: bool

    def make(self, name: str) -> Path:
        """Make a slice for a target.

        Raises FileExistsError where something of that name is taken, OSError or ProcrouteError where it
        cannot be made.
        """

    def make_for(self, uid: int, name: str) -> Path | None:
        """Make a slice in a user's own part of the tree; None where he has none. Raises ProcrouteError."""

    def end_starts(self, target: Path) -> None:
        """Have no wrapped unit start in a target any more: its anchor ends, and the next one waits for us.

        Raises ProcrouteError.
        """

    def remove(self, target: Path) -> None:
        """Remove a target, in which no process is left but an anchor that waits; gone already is no error.

        Raises ProcrouteError, PeopledError where others are in it.
        """

    def remove_root(self) -> None:
        """Remove procroute.slice when nobody has a target in it. Raises ProcrouteError."""

    def leftovers(self, namespace: int) -> list[Path]:
        """Targets of other network namespaces that nothing uses, and what engines that died left unnamed.

        namespace: the number of ours (netns.namespace).
        """

    def place(self, target: Path, new: Newcomer) -> Path:
        """Put a process into a new assignment below a target, which is returned. Raises ProcrouteError."""

    def end(self, assignment: Path) -> None:
        """Remove an assignment without processes; gone already is no error. Raises ProcrouteError."""


def placement(mount: Path) -> Placement:
    """By what is PID 1 here."""
    return BySystemd(mount) if booted(cgroup_mount.at(mount)) else ByHand(mount)


def booted(mount: cgroup_mount.CgroupMount) -> bool:
    """Whether systemd is PID 1 (sd_booted(3)) and cgroup v2 is its tree: it keeps itself in init.scope."""
    try:
        cgroup = cgroup_mount.of_process(1)
    except OSError:
        return False
    in_init_scope = mount.below(cgroup or "/") == "/init.scope"
    return in_init_scope and os.path.isdir("/run/systemd/system")


class ByHand:
    """Directories, made and removed."""

    by_systemd = False

    def __init__(self, mount: Path) -> None:
        self._mount = mount

    def make(self, name: str) -> Path:
        """See Placement."""
        path = self._mount / SLICE / name
        files.mkdir(path.parent, exist_ok=True)
        files.mkdir(path)
        return path

    def make_for(self, uid: int, name: str) -> Path | None:  # noqa: ARG002 - systemd has them
        """See Placement."""
        return None

    def end_starts(self, target: Path) -> None:
        """See Placement."""

    def remove(self, target: Path) -> None:
        """See Placement."""
        cgroups.remove_tree(target)

    def remove_root(self) -> None:
        """See Placement."""
        records.remove_root(self._mount)

    def leftovers(self, namespace: int) -> list[Path]:
        """See Placement."""
        return [*records.unnamed(self._mount), *records.abandoned(self._mount, namespace)]

    def place(self, target: Path, new: Newcomer) -> Path:
        """See Placement."""
        assignment = cgroups.add_assignment(target, new.name, new.origin)
        try:
            cgroups.enter(assignment, new.pid)
        except ProcrouteError:
            cgroups.remove_tree(assignment)
            raise
        return assignment

    def end(self, assignment: Path) -> None:
        """See Placement."""
        cgroups.remove_tree(assignment)


class BySystemd:
    """Slices, and transient scopes in them, of the system's manager or a user's.

    A slice that others keep busy stays, and is no target then.
    """

    by_systemd = True

    def __init__(self, mount: Path) -> None:
        # Only here: it imports asyncio and D-Bus.
        from procroute.kernel.systemd import Manager

        self._mount = mount
        self._manager = Manager()
        self._manager_of = Manager

    def make(self, name: str) -> Path:
        """See Placement. A slice that is there (systemd-run --slice, a unit file) becomes the target."""
        if records.named(self._mount / SLICE / name):
            raise FileExistsError(name)
        path = self._path(self._manager.start_slice(name))
        if path.parent != self._mount / SLICE:
            raise ProcrouteError("cgroup-missing", f"systemd keeps {name} at {path}, not below {SLICE}")
        return path

    def make_for(self, uid: int, name: str) -> Path | None:
        """See Placement. It stands below the manager's cgroup, which is the user's (user@.service(5))."""
        if not user_managers.runs(uid):
            return None
        manager = self._manager_of(user_managers.address(uid))
        path = self._path(user_managers.as_user(uid, lambda: manager.start_slice(name)))
        if user_managers.owner(path) != uid:
            raise ProcrouteError("cgroup-missing", f"the manager of user {uid} keeps {name} at {path}")
        return path

    def end_starts(self, target: Path) -> None:
        """See Placement."""
        anchor = anchor_of(target.name)
        if not (target / anchor).exists():
            return
        uid = user_managers.owner(target)
        if uid is None:
            self._manager.end_starts(target.name, anchor)
            return
        manager = self._manager_of(user_managers.address(uid))

        def end() -> str:
            manager.end_starts(target.name, anchor)
            return ""

        user_managers.as_user(uid, end)

    def remove(self, target: Path) -> None:
        """See Placement."""
        if not target.exists():
            return
        _check_left(target)
        if self._stop_slice(target):
            _await_gone(target)
        if target.exists():  # others keep it, or an anchor has come
            _check_left(target)
            programs.detach(str(target))
            records.forget(target)

    def remove_root(self) -> None:
        """See Placement."""
        top = self._mount / SLICE
        if top.exists() and not cgroups.populated(top) and not list(top.glob("*.slice")):
            self._manager.stop_slice(SLICE)

    def leftovers(self, namespace: int) -> list[Path]:
        """See Placement. A slice that nothing is written on is of whoever started it."""
        return records.abandoned(self._mount, namespace)

    def place(self, target: Path, new: Newcomer) -> Path:
        """See Placement."""
        name = f"procroute-{new.name}.scope"
        described = "".join(c if c.isprintable() else "?" for c in new.description[:200])
        uid = user_managers.owner(target)
        if uid is None:
            # One command of the template's: what it starts is not in its unit, and ends with it all the same.
            one = unit_of(new.origin)
            ends_with = one if one.startswith(_ONE_COMMAND) else ""
            group = self._manager.start_scope(name, target.name, new.pid, described, ends_with)
        else:
            manager = self._manager_of(user_managers.address(uid))
            group = user_managers.as_user(
                uid, lambda: manager.start_scope(name, target.name, new.pid, described)
            )
        assignment = self._path(group)
        # A user's processes stay in his part of the tree when they are let go.
        elsewhere = uid is not None and user_managers.tree_of(new.origin) != uid
        cgroups.note_origin(assignment, user_managers.leaf(uid) if uid and elsewhere else new.origin)
        return assignment

    def end(self, assignment: Path) -> None:
        """See Placement. systemd ends an empty scope by itself."""
        if cgroups.populated(assignment):
            raise ProcrouteError("kernel-refused", f"there are processes in {assignment}")
        if assignment.exists() and user_managers.owner(assignment) is None:
            self._manager.stop(assignment.name)
        _await_gone(assignment)

    def _stop_slice(self, target: Path) -> bool:
        """Stop it, unless units are active in it; whether it is gone, or about to go."""
        uid = user_managers.owner(target)
        if uid is None:
            return self._manager.stop_slice(target.name)
        if not target.exists():
            return True
        manager = self._manager_of(user_managers.address(uid))

        def stop() -> str:
            stopped = manager.stop_slice(target.name)
            manager.stop_slice(SLICE)  # unless there is another route's in it
            return "stopped" if stopped else ""

        try:
            return bool(user_managers.as_user(uid, stop))
        except ProcrouteError:
            return not target.exists()  # he has logged out, or his manager does not answer

    def _path(self, control_group: str) -> Path:
        # By its name in systemd's own cgroup namespace, which may be another one than ours. Of a unit whose
        # last process has ended meanwhile it is empty: that is no name of the root, in which everybody is.
        below = cgroup_mount.at(self._mount).below(control_group) or control_group
        if not below.strip("/"):
            raise ProcrouteError("cgroup-missing", "systemd has taken away again the cgroup that it made")
        return self._mount / below.lstrip("/")


def but_anchor(target: Path) -> Iterator[tuple[int, Path]]:
    """The processes in a target as `cgroups.processes` has them, but for an anchor that waits."""
    return (
        (pid, folder) for pid, folder in cgroups.processes(target) if folder.name != anchor_of(target.name)
    )


def _check_left(target: Path) -> None:
    """Raises PeopledError where a process is in a target, but for an anchor that waits."""
    if any(True for _ in but_anchor(target)):
        raise PeopledError(target)


def _await_gone(path: Path) -> None:
    """Wait until systemd has removed a cgroup, if nobody comes; no longer than it may take."""
    until = time.monotonic() + _EMPTY_WITHIN
    while path.exists() and not cgroups.populated(path) and time.monotonic() < until:
        time.sleep(0.002)
