"""Route rules as the protocol tells of them."""

from __future__ import annotations

from typing import Any

from procroute.core.ruling import Kind, kind
from procroute.protocol import RuleFacts
from procroute.rulebook.route_rule import Conditions, RouteRule, Via


def _way(via: Via) -> dict[str, Any]:
    return {
        "via": via.name,
        "strict": via.strict,
        "gateway4": None if via.gateway4 is None else str(via.gateway4),
        "gateway6": None if via.gateway6 is None else str(via.gateway6),
        "dns": None if via.dns is None else [str(server) for server in via.dns],
        "on_down": None if via.on_down is None else via.on_down.value,
        "hold": via.hold,
        "inbound": via.inbound,
    }


def rule_facts(rule: RouteRule, finds: Kind | None = None) -> RuleFacts:
    """A rule, to be told. finds: how it finds its processes, where that hangs on more than the rule."""
    return RuleFacts(
        place=rule.place,
        owner=rule.owner,
        finds=(finds or kind(rule)).value,
        **({} if rule.via is None else _way(rule.via)),
        conditions=_plain(rule.conditions),
        unless={} if rule.unless is None else _plain(rule.unless),
        existing=rule.existing,
        when_down=rule.when_down,
        comment=rule.comment,
        enabled=rule.enabled,
    )


def _plain(conditions: Conditions) -> dict[str, list[str]]:
    return {key: list(any_of) for key, any_of in conditions.given.items()}
