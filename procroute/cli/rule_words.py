"""Route rules: in words for people, and as data for JSON (docs/json.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from procroute.rulebook import in_words
from procroute.terminal import printable
from procroute.user_names import spoken

if TYPE_CHECKING:
    from procroute import protocol

VERSION: Final = 1
"""Of the JSON of the words of `rules` that ask the daemon."""


def what(rule: protocol.RuleFacts) -> str:
    """Its conditions in short: `exe /usr/bin/curl, not user ada or bob`."""
    return in_words.who(rule.conditions, rule.unless)


def way(rule: protocol.RuleFacts) -> str:
    """Where it leads: `wan1, strict`, or `direct`."""
    return in_words.way(rule)


def whose(rule: protocol.RuleFacts) -> str:
    """A user's name; of the administrator's, root."""
    return printable(spoken(rule.owner))


def plain(rule: protocol.RuleFacts) -> dict[str, Any]:
    """For JSON: every key, also where nothing is to be said."""
    return {
        "place": rule.place,
        "owner": rule.owner,
        "finds": rule.finds,
        "via": rule.via or None,
        "strict": rule.strict,
        "gateway4": rule.gateway4,
        "gateway6": rule.gateway6,
        "dns": rule.dns,
        "on_down": rule.on_down,
        "hold": rule.hold,
        "inbound": rule.inbound,
        "conditions": rule.conditions,
        "not": rule.unless,
        "existing": rule.existing,
        "when_down": rule.when_down,
        "comment": rule.comment,
        "enabled": rule.enabled,
    }
