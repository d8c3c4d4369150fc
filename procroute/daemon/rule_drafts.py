"""Rules that somebody asks for, and that are in no file yet."""

from __future__ import annotations

import os

from procroute.core.access import Peer
from procroute.core.ruling import asked_for
from procroute.daemon import rule_files
from procroute.daemon.placing import Placing
from procroute.daemon.routes import Routes
from procroute.daemon.rule_subjects import RuleSubjects
from procroute.protocol import AddRule, Wanted
from procroute.rulebook.links import followed
from procroute.rulebook.matching import meets
from procroute.rulebook.route_rule import RouteRule, Rulebook
from procroute.rulebook.shape import WrittenRule


class RuleDrafts:
    """routes: know what is configured; placing: who may have which."""

    def __init__(self, routes: Routes, placing: Placing, subjects: RuleSubjects) -> None:
        self._routes = routes
        self._placing = placing
        self._subjects = subjects

    def add(self, peer: Peer, asked: AddRule) -> RouteRule:
        """Write one more rule, if its owner may have its route. In the writer's thread.

        Raises ProcrouteError and OSError; then there is none.
        """
        way = asked.rule.via
        if isinstance(way, str):
            self._placing.check(peer, Wanted(via=way))
        return rule_files.add(peer, asked, dict(self._routes.settings.access))

    def matching(self, peer: Peer, written: WrittenRule) -> list[int]:
        """The PIDs of who would meet a rule, of those whom the asker may place. In any thread, as it takes
        long. Raises ProcrouteError rule-bad, not-permitted."""
        rule = rule_files.checked(written, peer, dict(self._routes.settings.access))
        (rule,) = followed(Rulebook((rule,)), os.path.realpath).rules
        asked = asked_for(Rulebook((rule,)))
        return [found.pid for found, _ in self._subjects.everybody(peer, asked) if meets(rule, found)]
