"""Puts processes and units on routes for rules. What a person has placed a rule leaves where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from procroute.core.access import Peer, may_see
from procroute.core.machine import Machine
from procroute.core.moved import NOT_FOLLOWED, dns_words
from procroute.daemon import subjects
from procroute.daemon.assigning import Assigning
from procroute.daemon.placing import Placing
from procroute.daemon.register import Register
from procroute.daemon.routes import OpenRoute, Routes
from procroute.engine.lock import lock, patient
from procroute.engine.move import follow
from procroute.engine.open_sockets import has_any
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, cgroups
from procroute.kernel.linux import Linux
from procroute.kernel.lookup_daemons import asked_by
from procroute.kernel.process_facts import Facts
from procroute.model import Existing
from procroute.protocol import Assign, Assignment, Wanted
from procroute.rulebook.route_rule import RouteRule
from procroute.told import WARNING, told

_TRIES: Final = 20
"""To have a unit follow in which somebody ends while all of it is looked at."""


class ByRule:
    """A rule comes with whose it is, for what he may have. Takes the lock itself."""

    def __init__(
        self,
        linux: Linux,
        routes: Routes,
        register: Register,
        placing: Placing,
        assigning: Assigning,
        tell: Tell,
    ) -> None:
        self._linux = linux
        self._routes = routes
        self._register = register
        self._placing = placing
        self._assigning = assigning
        self._tell = tell

    @property
    def by_systemd(self) -> bool:
        """Whether the tree of cgroups is systemd's."""
        return self._linux.placement.by_systemd

    def place(
        self,
        peer: Peer,
        who: Facts,
        command: str,
        wanted: Wanted,
        rule: RouteRule,
        placed: Callable[[], None] = lambda: None,
    ) -> bool:
        """Put a process on a rule's route; whether it was not on it. Raises ProcrouteError and OSError.

        placed: is called as soon as it is there, as its exec may wait for that: what can be done after it is
        done after it, and where that fails the process stays on its route all the same.
        """
        subjects.check(peer, who)
        with lock(patient(self._tell)):
            found, _ = self._placing.opened(peer, wanted, absent=True)
            cgroup = self._linux.cgroup_mount.of(who.pid)
            if self._stays(cgroup, found):
                return False
            if has_any(who.pid):
                made = [self._placing.placed(peer, found, who, "rule", command, rule.place)]
                with self._placing.undoing(made):
                    self._follow(found, made[0], rule.existing)
                placed()
                return True
            entered = self._placing.entered(found, who, self._register.origin_of(cgroup), "rule", command)
            placed()
            try:
                self._placing.noted(peer, found, entered, "rule", command, rule.place)
            except (ProcrouteError, OSError) as e:
                line = f"{describe(who.pid)} is on its route, and not among the assignments yet: {e}"
                self._tell(told(line, WARNING, pid=who.pid, route=found.live.route.name, rule=rule.place))
        return True

    def unit(self, peer: Peer, cgroup: str, wanted: Wanted, rule: RouteRule) -> bool:
        """Have a unit follow a rule's route, all of it; whether it did not before. Raises ProcrouteError.

        cgroup: the unit's, from the mount point: several managers may have one of its name.
        """
        with lock(patient(self._tell)):
            found, _ = self._placing.opened(peer, wanted, absent=True)
            if self._stays(cgroup, found):
                return False
        place = self._register.path(cgroup)
        asked = Assign(route=wanted, unit=place.name, existing=rule.existing)
        for left in reversed(range(_TRIES)):
            try:
                self._assigning.assign(peer, asked, rule.place, place)
            except ProcrouteError as e:
                if e.code != "process-unknown" or not left:
                    raise
            else:
                return True
        return False

    def keep(self, peer: Peer, wanted: Wanted) -> tuple[int, str]:
        """Have a route there, also while nobody is on it or its adapters are not there, from now on.

        Its number; and what it lacks, so that nothing leaves by it, in words. Raises ProcrouteError.
        """
        with lock(patient(self._tell)):
            found, _ = self._placing.opened(peer, wanted, absent=True)
        return found.live.number, self._routes.lacking(found)

    def rules_moved(self, places: Mapping[str, str]) -> None:
        """Rules stand elsewhere now (core.ruling.elsewhere). Raises OSError."""
        self._register.rules_moved(places)

    def rules_named(self) -> set[str]:
        """The places of the rules by which somebody is on a route."""
        return {one.rule for one in self._register.known()}

    def rule_of(self, pid: int) -> str:
        """The rule that has placed a process, as people are told; empty: none. Raises OSError."""
        before = self._register.around(self._linux.cgroup_mount.of(pid))
        return before.rule if before is not None else ""

    def members(self, peer: Peer) -> set[int]:
        """Whom rules have put on routes; for users, of their own."""
        with lock(patient(self._tell)):
            paths = [
                self._register.path(one.cgroup)
                for one in self._register.known()
                if one.how == "rule" and may_see(peer, one.owner)
            ]
            return {pid for path in paths for pid, _ in cgroups.processes(path)}

    def not_followed(self, peer: Peer) -> list[str]:
        """Whose look-ups do not follow the route that a rule has put them on: a line for each rule, with what
        helps; for users, of their own. Raises OSError."""
        routes = {found.live.route.name: found for found in self._routes.all()}
        told: dict[str, str] = {}
        for one in self._register.known():
            found = routes.get(one.route)
            if one.how != "rule" or one.rule in told or found is None or not may_see(peer, one.owner):
                continue
            pids = (pid for pid, _ in cgroups.processes(self._register.path(one.cgroup)))
            asks = (dns_words(found.live, asked_by(pid, found.path)) for pid in pids)
            if words := next((said for said in asks if said.startswith(NOT_FOLLOWED)), ""):
                told[one.rule] = f"{one.rule}: look-ups are {words}"
        return list(told.values())

    def _stays(self, cgroup: str, found: OpenRoute) -> bool:
        """Whether who is in a cgroup is on that route by a rule, or where a person has put him."""
        before = self._register.now_around(cgroup)
        return before is not None and (before.how != "rule" or before.route == found.live.route.name)

    def _follow(self, found: OpenRoute, assignment: Assignment, existing: Existing) -> None:
        """Have open sockets follow that processes have brought along."""
        follow(
            self._linux.identity,
            found.live,
            self._register.path(assignment.cgroup),
            Machine(adapters=adapters.read(self._linux.netlink)),
            existing=existing,
            given=self._routes.marks_given(),
        )
