"""Lets assignments go: their processes return to where they came from, and what they have open, if it can."""

from __future__ import annotations

from procroute.core.access import Peer
from procroute.core.machine import Machine
from procroute.core.moved import total
from procroute.daemon.register import Register
from procroute.engine.gather import let_out
from procroute.engine.lock import lock, patient
from procroute.engine.move import part
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, cgroups
from procroute.kernel.linux import Linux
from procroute.kernel.pinned import identify
from procroute.protocol import Assignment, Existing, Moved, Release, Released


class LettingGo:
    """Takes the lock itself."""

    def __init__(self, linux: Linux, register: Register, tell: Tell) -> None:
        self._linux = linux
        self._register = register
        self._tell = tell

    def release(self, peer: Peer, asked: Release) -> Released:
        """Let assignments go. Raises ProcrouteError; then none was."""
        with lock(patient(self._tell)):
            chosen = [self._register.of_id(peer, number) for number in asked.ids]
            chosen += [self._register.of_pid(peer, pid) for pid in asked.pids]
            if not chosen:
                raise ProcrouteError("usage", "nothing was named", "procroute ps lists the assignments")
            released = list({a.id: a for a in chosen}.values())
            shown = [self._register.shown_one(peer, a) for a in released]
            moved = Moved()
            for assignment in released:
                moved = total(moved, self._let_go(assignment, asked.existing))
                self._register.forget(assignment, "released")
        return Released(assignments=shown, moved=moved)

    def _let_go(self, assignment: Assignment, existing: Existing) -> Moved:
        """Move every process back, and what it has open, as far as that can be."""
        path, number = self._register.path(assignment.cgroup), self._register.number(assignment)
        if assignment.in_place:
            self._linux.let_be(path)
            pids = (pid for pid, _ in cgroups.processes(path))
            members = frozenset(one for pid in pids if pid and (one := identify(pid)))
        else:
            members = let_out(self._linux.mount, path)
        origin = self._register.path(assignment.origin)
        routed = cgroups.within_target(self._linux.mount, assignment.origin)
        return part(
            self._linux.identity,
            number,
            members,
            Machine(adapters=adapters.read(self._linux.netlink)),
            existing=existing,
            origin=None if routed or not origin.exists() else origin,
        )
