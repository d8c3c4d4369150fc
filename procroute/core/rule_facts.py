"""Route rules as the protocol tells of them."""

from __future__ import annotations

from procroute.core.ruling import Kind, kind
from procroute.protocol import RuleFacts
from procroute.rulebook.route_rule import Conditions, RouteRule


def rule_facts(rule: RouteRule, finds: Kind | None = None) -> RuleFacts:
    """A rule, to be told. finds: how it finds its processes, where that hangs on more than the rule."""
    return RuleFacts(
        place=rule.place,
        owner=rule.owner,
        finds=(finds or kind(rule)).value,
        via="" if rule.via is None else rule.via.name,
        strict=None if rule.via is None else rule.via.strict,
        conditions=_plain(rule.conditions),
        unless={} if rule.unless is None else _plain(rule.unless),
        existing=rule.existing,
        when_down=None if rule.when_down is None else rule.when_down.value,
        comment=rule.comment,
        enabled=rule.enabled,
    )


def _plain(conditions: Conditions) -> dict[str, list[str]]:
    return {key: list(any_of) for key, any_of in conditions.given.items()}
