"""The routes that rules lead to: there before anybody needs one. In the writer's thread."""

from __future__ import annotations

from procroute.core.ruling import leads
from procroute.daemon.by_rule import ByRule
from procroute.daemon.owning import Owning
from procroute.daemon.routes import Routes
from procroute.daemon.rules_in_use import RulesInUse
from procroute.daemon.taking import Taking, peer_of
from procroute.errors import ProcrouteError
from procroute.rulebook.route_rule import RouteRule


class Leading:
    """The parts are those of Ruling."""

    def __init__(self, routes: Routes, by_rule: ByRule, owning: Owning, taking: Taking) -> None:
        self._routes = routes
        self._by_rule = by_rule
        self._owning = owning
        self._taking = taking

    def keep(self, rules: RulesInUse) -> list[str]:
        """Have the routes there that rules lead to, so that no start waits for one, and users' sockets follow
        them; lines on those that cannot be, or by which nothing leaves now."""
        notes: list[str] = []
        numbers: dict[tuple[int, object], int | None] = {}
        wrong: dict[tuple[int, object], str] = {}
        led: list[tuple[RouteRule, int | None]] = []
        for rule in filter(leads, rules.book.rules):
            peer = peer_of(rule)
            if (key := (peer.uid, rule.via)) not in numbers:
                try:
                    numbers[key], wrong[key] = self._by_rule.keep(peer, self._taking.wanted(rule))
                except ProcrouteError as e:
                    numbers[key], wrong[key] = None, e.message
            if wrong[key]:
                notes.append(f"{rule.place}: {wrong[key]}")
            led.append((rule, numbers[key]))
        self._routes.kept = frozenset(number for number in numbers.values() if number is not None)
        return notes + self._owning.want(led, rules.excepted)
