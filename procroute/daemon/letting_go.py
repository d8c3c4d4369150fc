"""Lets assignments go: their processes return to where they came from, and what they have open, if it can."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from procroute.core.access import Peer, may_see
from procroute.core.machine import Machine
from procroute.core.moved import total
from procroute.daemon.log_words import told_of
from procroute.daemon.register import Register
from procroute.daemon.routes import Routes
from procroute.engine.let_go import let_go
from procroute.engine.lock import lock, patient
from procroute.engine.membership import back_in, let_out
from procroute.engine.move import part
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, cgroups, records, released
from procroute.kernel.linux import Linux
from procroute.kernel.pinned import Known, identify, pinned
from procroute.model import Existing
from procroute.protocol import Assignment, Moved, Release, Released
from procroute.told import WARNING


class LettingGo:
    """Takes the lock itself."""

    def __init__(self, linux: Linux, routes: Routes, register: Register, tell: Tell) -> None:
        self._linux = linux
        self._routes = routes
        self._register = register
        self._tell = tell

    def release(self, peer: Peer, asked: Release) -> Released:
        """Let assignments go. Raises ProcrouteError, that says which were let go nevertheless."""
        with lock(patient(self._tell)):
            chosen = [self._register.of_id(peer, number) for number in asked.ids]
            chosen += [self._register.of_pid(peer, pid) for pid in asked.pids]
            if not chosen:
                raise ProcrouteError("usage", "nothing was named", "procroute ps lists the assignments")
            chosen = list({a.id: a for a in chosen}.values())
            shown = [self._register.shown_one(peer, a) for a in chosen]
            moved = Moved()
            gone: list[int] = []
            for assignment in chosen:
                try:
                    moved = total(moved, self.let_go(assignment, asked.existing, peer.uid))
                except (ProcrouteError, OSError) as e:
                    raise _unreleased(e, assignment, gone) from e
                gone.append(assignment.id)
        return Released(assignments=shown, moved=moved)

    def by_rule(self, who: Known) -> None:
        """Let a process out of where a rule has put it or whoever it descends from; others of that stay.

        One that a person has put somewhere stays there. Raises ProcrouteError.
        """
        mount = self._linux.cgroup_mount
        with lock(patient(self._tell)), pinned(who) as pidfd:
            cgroup = mount.of(who.pid) if pidfd is not None else "/"
            before = self._register.around(cgroup)
            if before is None or before.how != "rule" or before.in_place:
                return
            path = self._register.path(before.cgroup)
            if {pid for pid, _ in cgroups.processes(path)} == {who.pid}:
                self.let_go(before)
                return
            let_go(mount.path, who.pid, path)
            self._register.let_be(who.pid)

    def of_rules(self, peer: Peer, places: Collection[str], apart: Collection[str]) -> None:
        """Let go what was put on routes by other rules than those at these places; for users their own.

        apart: the places of those by which nothing follows as a whole any more.
        What cannot be let go is told, and stays.
        """
        with lock(patient(self._tell)):
            for one in self._register.known():
                stale = one.rule not in places or (one.in_place and one.rule in apart)
                if one.how == "rule" and stale and may_see(peer, one.owner):
                    try:
                        self.let_go(one, by=peer.uid)
                    except (ProcrouteError, OSError) as e:
                        self._tell(told_of(one, f"assignment {one.id} could not be let go: {e}", WARNING))

    def let_go(self, assignment: Assignment, existing: Existing = "keep", by: int | None = None) -> Moved:
        """Move every process back, and what it has open, as far as that can be; then it is forgotten.

        by: the uid that asked for it.

        Under the lock. Raises ProcrouteError and OSError.
        """
        # What is needed is seen before anything is moved.
        machine = Machine(adapters=adapters.read(self._linux.netlink))
        path, number = self._register.path(assignment.cgroup), self._register.number(assignment)
        if not assignment.in_place:
            released.note(path)
        members = self._let_be(path) if assignment.in_place else let_out(self._linux.mount, path)
        try:
            moved = self._part(assignment, number, members, machine, existing)
        except (ProcrouteError, OSError):
            if not assignment.in_place and back_in(path, members):
                released.forget(path)
            else:
                self._register.forget(assignment, "released", by)
            raise
        self._register.forget(assignment, "released", by)
        return moved

    def _let_be(self, place: Path) -> frozenset[Known]:
        """Who is in a unit that follows no route any more."""
        self._linux.let_be(place)
        pids = (pid for pid, _ in cgroups.processes(place))
        return frozenset(one for pid in pids if pid and (one := identify(pid)))

    def _part(
        self,
        assignment: Assignment,
        number: int,
        members: Collection[Known],
        machine: Machine,
        existing: Existing,
    ) -> Moved:
        origin = self._register.path(assignment.origin)
        routed = records.within_target(self._linux.mount, assignment.origin)
        return part(
            self._linux.identity,
            number,
            members,
            machine,
            existing=existing,
            origin=None if routed or not origin.exists() else origin,
            given=self._routes.marks_given(),
        )


def _unreleased(
    why: ProcrouteError | OSError, assignment: Assignment, gone: Collection[int]
) -> ProcrouteError:
    """The error for one that was let go in part only. gone: the ids of those that were."""
    code, hint = (why.code, why.hint) if isinstance(why, ProcrouteError) else ("system", "")
    text = why.message if isinstance(why, ProcrouteError) else why.strerror or str(why)
    done = f"; let go: {', '.join(map(str, gone))}" if gone else ""
    more = "procroute ps shows who is still on a route; sockets that were open may be on either way"
    return ProcrouteError(
        code,
        f"assignment {assignment.id} could not be let go: {text}{done}",
        f"{hint}; {more}" if hint else more,
    )
