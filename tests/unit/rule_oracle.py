"""What rulebook.index has to find, by asking each rule in its order."""

from __future__ import annotations

from procroute.rulebook.matching import meets
from procroute.rulebook.route_rule import RouteRule, Rulebook
from procroute.rulebook.subject import Subject


def first(rulebook: Rulebook, subject: Subject) -> RouteRule | None:
    """The rule that holds for a process: the first that is switched on and matches."""
    return next((rule for rule in rulebook.rules if meets(rule, subject)), None)
