"""Route rules: in words for people, and as data for JSON (docs/json.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from procroute.terminal import printable
from procroute.user_names import spoken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procroute import protocol

VERSION: Final = 1
"""Of the JSON of the words of `rules` that ask the daemon."""
_SHOWN: Final = 3
"""So many of a list are shown."""


def what(rule: protocol.RuleFacts) -> str:
    """Its conditions in short: `exe /usr/bin/curl, not user ada or bob`."""
    told = [conditions(rule.conditions)] if rule.conditions else []
    if rule.unless:
        told.append(f"not {conditions(rule.unless, ' and ')}")
    return ", ".join(told)


def conditions(given: Mapping[str, list[str]], between: str = ", ") -> str:
    """Each by its key; of a long list the first."""
    return between.join(f"{key} {_any_of(patterns)}" for key, patterns in given.items())


def _any_of(patterns: list[str]) -> str:
    shown = [printable(pattern) for pattern in patterns[:_SHOWN]]
    more = len(patterns) - _SHOWN
    return " or ".join([*shown, f"{more} more"] if more > 0 else shown)


def way(rule: protocol.RuleFacts) -> str:
    """Where it leads: `wan1, strict`, or `direct`."""
    if not rule.via:
        return "direct"
    strict = {None: "", True: ", strict", False: ", not strict"}[rule.strict]
    return f"{printable(rule.via)}{strict}"


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
        "conditions": rule.conditions,
        "not": rule.unless,
        "existing": rule.existing,
        "when_down": rule.when_down,
        "comment": rule.comment,
        "enabled": rule.enabled,
    }
