"""The assignments that are remembered: which one is meant, where it is, and as somebody may see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from procroute.core.access import Peer, may_see, of_another
from procroute.core.unit_names import slice_of
from procroute.daemon.ledger import Ledger
from procroute.daemon.routes import OpenRoute, Routes
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, records
from procroute.kernel.linux import Linux
from procroute.kernel.process_facts import command_of, name_of
from procroute.protocol import Assignment, Process
from procroute.user_names import spoken


class Remembered:
    """What only looks at them; the rest is in register.py, whose words on threads and the lock hold here."""

    def __init__(self, linux: Linux, routes: Routes, tell: Tell) -> None:
        self._linux = linux
        self._routes = routes
        self._ledger = Ledger(tell)

    def __len__(self) -> int:
        return len(self._ledger)

    def known(self) -> list[Assignment]:
        """Every assignment, as it is remembered. Takes no lock."""
        return list(self._ledger)

    def get(self, number: int) -> Assignment | None:
        """The assignment of an id. Takes no lock."""
        return self._ledger.get(number)

    def at(self, cgroup: str) -> Assignment | None:
        """The assignment whose cgroup, from the mount point, is this one. Takes no lock."""
        return self._ledger.at(cgroup)

    def of_id(self, peer: Peer, number: int) -> Assignment:
        """The assignment of an id, for who may change it. Raises ProcrouteError."""
        found = self._ledger.get(number)
        if found is None:
            raise _unknown(f"there is no assignment {number}")
        return _checked(peer, found)

    def of_pid(self, peer: Peer, pid: int) -> Assignment:
        """The assignment that a process is in, for who may change it. Raises ProcrouteError."""
        try:
            cgroup = self._linux.cgroup_mount.of(pid)
        except OSError:
            raise ProcrouteError(
                "process-unknown", f"there is no process {pid}", "ps(1) lists them"
            ) from None
        found = self.around(cgroup)
        if found is None:
            raise _unknown(f"process {pid} is in no assignment")
        return _checked(peer, found)

    def around(self, cgroup: str) -> Assignment | None:
        """The assignment whose cgroup, from the mount point, this is, or lies in. Takes no lock."""
        around = map(self._ledger.at, (cgroup, *map(str, Path(cgroup).parents)))
        return next((found for found in around if found is not None), None)

    def now_around(self, cgroup: str) -> Assignment | None:
        """The same, but for units in place that were started anew meanwhile, which is not heard of yet."""
        found = self.around(cgroup)
        return found if found is not None and self._is_as_noted(found) else None

    def origin(self, pid: int) -> str:
        """Where a process returns to: its cgroup, or where it was before it was assigned the last time.

        Raises ProcrouteError process-unknown.
        """
        try:
            return self.origin_of(self._linux.cgroup_mount.of(pid))
        except OSError:
            raise ProcrouteError("process-unknown", f"process {pid} has ended", "ps(1) lists them") from None

    def origin_of(self, cgroup: str) -> str:
        """Where who is in a cgroup, named from the mount point, returns to; that itself, if it is no
        assignment's."""
        before = self.around(cgroup)
        return cgroup if before is None or before.in_place else cgroups.origin(self.path(before.cgroup))

    def lives(self, assignment: Assignment) -> bool:
        """Whether it has a process. Takes no lock."""
        return cgroups.populated(self.path(assignment.cgroup)) and self._is_as_noted(assignment)

    def ended(self) -> list[Assignment]:
        """Those without a process. Takes no lock."""
        return [a for a in self._ledger if not self.lives(a)]

    def _is_as_noted(self, assignment: Assignment) -> bool:
        """Not so where a unit in place was started anew: its cgroup is another one, and no target."""
        return not assignment.in_place or records.named(self.path(assignment.cgroup))

    def number(self, assignment: Assignment) -> int:
        """Of its route; 0: that has gone."""
        found = self._route(assignment)
        return 0 if found is None else found.live.number

    def _route(self, assignment: Assignment) -> OpenRoute | None:
        within = slice_of(assignment.route) if assignment.in_place else assignment.cgroup.split("/")[-2]
        return self._routes.of_targets(within)

    def path(self, cgroup: str) -> Path:
        """Where a cgroup is, of whose name from the mount point this is."""
        return self._linux.mount / cgroup.lstrip("/")

    def cgroup(self, path: Path) -> str:
        """The name from the mount point."""
        return f"/{path.relative_to(self._linux.mount)}"

    def shown(self, peer: Peer) -> Iterator[Assignment]:
        """The same as somebody may see it. Takes no lock."""
        return (self.shown_one(peer, one) for one in self._ledger)

    def shown_one(self, peer: Peer, assignment: Assignment) -> Assignment:
        """With its processes; without what only its owner and root may see. Takes no lock."""
        pids = sorted({pid for pid, _ in cgroups.processes(self.path(assignment.cgroup))})
        if not may_see(peer, assignment.owner):
            return replace(of_another(assignment), processes=[Process(pid) for pid in pids])
        return replace(assignment, processes=[Process(p, name_of(p), command_of(p)) for p in pids])


def _checked(peer: Peer, found: Assignment) -> Assignment:
    if not may_see(peer, found.owner):
        raise ProcrouteError(
            "not-permitted",
            f"assignment {found.id} is of {spoken(found.owner)}",
            "you may let your own processes go; root may let all",
        )
    return found


def _unknown(what: str) -> ProcrouteError:
    return ProcrouteError("assignment-unknown", what, "procroute ps lists them")
