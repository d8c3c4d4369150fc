"""Puts processes where the rule says that takes them: on a route, or off any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from procroute.core.access import Peer
from procroute.core.ruling import Kind, kind
from procroute.core.ruling import wanted as wanted_by
from procroute.daemon.by_rule import ByRule
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.owning import Owning
from procroute.daemon.routes import Routes
from procroute.daemon.rules_in_use import RulesInUse
from procroute.kernel import user_managers
from procroute.kernel.pinned import Known
from procroute.kernel.process_facts import Facts
from procroute.model import Existing
from procroute.protocol import Wanted
from procroute.rulebook.applications import unit_around
from procroute.rulebook.route_rule import RouteRule
from procroute.rulebook.subject import Subject
from procroute.user_names import user_name

_ROOT: Final = Peer(0, 0, "root")


def peer_of(rule: RouteRule) -> Peer:
    """For whom a rule asks: its owner."""
    return Peer(rule.owner, 0, user_name(rule.owner)) if rule.owner else _ROOT


class Taking:
    """The parts are those of Ruling."""

    def __init__(self, routes: Routes, by_rule: ByRule, letting_go: LettingGo, owning: Owning) -> None:
        self._routes = routes
        self._by_rule = by_rule
        self._letting_go = letting_go
        self._owning = owning

    def wanted(self, rule: RouteRule) -> Wanted:
        """The route that a rule leads to."""
        return wanted_by(rule, self._routes.settings.route)

    def take(
        self,
        rules: RulesInUse,
        rule: RouteRule,
        who: Subject,
        facts: Facts,
        placed: Callable[[], None] = lambda: None,
        existing: Existing | None = None,
    ) -> bool:
        """Put a process where its rule says; whether it was moved to a route. Raises ProcrouteError.

        rules: those that hold; placed: see ByRule.place; existing: instead of the rule's.
        """
        if rule.via is None:
            self._letting_go.by_rule(Known(facts.pid, facts.began))
            return False
        if self._owning.has(rule, who.uids[1]):
            return False
        if existing is not None:
            rule = replace(rule, existing=existing)
        peer, route = peer_of(rule), self.wanted(rule)
        if unit := self._unit(rules, rule, who):
            return self._by_rule.unit(peer, unit, route, rule)
        command = " ".join(who.command) or who.exes[0]
        return self._by_rule.place(peer, facts, command, route, rule, placed)

    def _unit(self, rules: RulesInUse, rule: RouteRule, who: Subject) -> str:
        """The cgroup of the unit that follows in place for a process; empty: it is to be moved itself."""
        its = kind(rule)
        if its is Kind.USER:
            uid = user_managers.tree_of(f"{who.cgroup}/")
            whole = rule.place not in rules.excepted and self._by_rule.by_systemd
            hers = whole and uid == who.uids[1]
            return user_managers.slice_of(uid) if hers else ""
        return unit_around(who.cgroup, rule.owner) if its is Kind.UNIT else ""
