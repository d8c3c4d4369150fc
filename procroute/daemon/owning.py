"""Users whose sockets follow a route by whose they are, for rules by `user` alone, where no systemd keeps
slices that could follow as a whole.

In the writer's thread; takes the lock itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from procroute.core.machine import Machine
from procroute.core.ruling import Kind, kind
from procroute.daemon.routes import Routes
from procroute.engine.lock import lock, patient
from procroute.engine.owning import follow, own
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, records
from procroute.kernel.linux import Linux
from procroute.kernel.owners import ROOM
from procroute.kernel.pinned import Known
from procroute.model import Existing, Marks, Owner
from procroute.rulebook.route_rule import RouteRule
from procroute.user_names import uid_of

Led = tuple[RouteRule, int | None]
"""A rule, and the number of the route that it leads to; None: that cannot be now."""
_NOBODYS: Final = frozenset({0, None})
"""Root's are never taken by whose they are: what the machine itself does is root's."""


class Owning:
    """whole: the places of rules that need nothing else to find all whom they mean."""

    def __init__(self, linux: Linux, routes: Routes, tell: Tell) -> None:
        self._linux = linux
        self._routes = routes
        self._tell = tell
        self._numbers: dict[int, int] = {}
        self._uids: dict[str, frozenset[int | None]] = {}
        self.whole: frozenset[str] = frozenset()

    def want(self, led: Iterable[Led], excepted: Collection[str]) -> list[str]:
        """Have the sockets follow of whom these rules mean, and of nobody else; lines on what cannot be.

        led: all rules that lead to a route, in their order. excepted: the places of those before which an
        exception stands.
        """
        claims = {} if self._linux.placement.by_systemd else self._claims(led, excepted)
        owners: dict[int, list[Owner]] = {}
        for uid, (rule, number) in list(claims.items())[:ROOM]:
            if number is not None:
                owners.setdefault(number, []).append(Owner(uid, alone=bool(rule.owner)))
        notes = self._give({number: tuple(some) for number, some in owners.items()})
        if notes:
            owners = {}
        self._numbers = {one.uid: number for number, some in owners.items() for one in some}
        self.whole = frozenset(
            place for place, uids in self._uids.items() if uids and uids <= self._numbers.keys()
        )
        return notes

    def finds(self, rule: RouteRule) -> Kind:
        """How a rule finds its processes now."""
        some = self._uids.get(rule.place, frozenset()) & self._numbers.keys()
        return Kind.OWNER if rule.enabled and some else kind(rule)

    def has(self, rule: RouteRule, uid: int) -> bool:
        """Whether a rule need not move a process: the sockets of its effective uid follow."""
        return uid in self._numbers and uid in self._uids.get(rule.place, ())

    def follow(self, uid: int, members: Iterable[Known], existing: Existing) -> int:
        """Have what processes of a user have open follow, too; of how many some does. Raises ProcrouteError.

        Those that are in a target are left: they go by its route.
        """
        number = self._numbers[uid]
        with lock(patient(self._tell)):
            found = next((f for f in self._routes.all() if f.live.number == number), None)
            if found is None:
                return 0
            return follow(
                self._linux.identity,
                found.live,
                [one for one in members if not self._within_target(one.pid)],
                Machine(adapters=adapters.read(self._linux.netlink)),
                existing=existing,
                given=self._routes.marks_given(),
            )

    def _claims(self, led: Iterable[Led], excepted: Collection[str]) -> dict[int, Led]:
        """Users, each with the first rule that means him."""
        by_sockets = {f.live.number for f in self._routes.all() if f.live.marks is not Marks.PACKETS}
        self._uids = {}
        claims: dict[int, Led] = {}
        for rule, number in led:
            if kind(rule) is not Kind.USER or rule.place in excepted:
                continue
            self._uids[rule.place] = frozenset(map(uid_of, rule.conditions.user))
            for uid in self._uids[rule.place] - _NOBODYS:
                if uid is not None:
                    claims.setdefault(uid, (rule, number if number in by_sockets else None))
        return claims

    def _give(self, owners: dict[int, tuple[Owner, ...]]) -> list[str]:
        if all(found.live.owners == owners.get(found.live.number, ()) for found in self._routes.all()):
            return []
        try:
            with lock(patient(self._tell)):
                try:
                    own(self._linux, owners)
                finally:
                    self._routes.refresh()
        except (ProcrouteError, OSError) as e:
            return [f"rules by user find processes by news alone: {e}"]
        return []

    def _within_target(self, pid: int) -> bool:
        try:
            return records.within_target(self._linux.mount, self._linux.cgroup_mount.of(pid))
        except OSError:
            return True  # it has ended
