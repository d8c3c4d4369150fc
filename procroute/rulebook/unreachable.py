"""Rules that nobody meets: an earlier one takes all that they mean. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from procroute.rulebook.route_rule import RouteRule
from procroute.written.finding import Finding

_NONE: Final = ("", ("",))
"""Where rules without conditions are kept, which have exceptions alone."""


def unreachable(rules: Iterable[RouteRule]) -> list[Finding]:
    """Warnings of rules after one with the same conditions or fewer, and of each the same patterns or more.

    rules: in their order. Patterns are compared as they are written: what a glob takes is not found.
    """
    found: list[Finding] = []
    # By one pattern of each: whoever has all patterns of a later rule's key has that rule's first one.
    earlier: dict[tuple[str, str], list[RouteRule]] = {}
    for rule in rules:
        if not rule.enabled:
            continue
        before = next((one for key in _keys(rule) for one in earlier.get(key, ()) if _takes(one, rule)), None)
        if before is not None:
            words = f"nobody meets it: {before.place} takes all that it means"
            found.append(Finding(rule.file, rule.line, False, words))
            continue
        key, any_of = next(iter(rule.conditions.given.items()), _NONE)
        for pattern in any_of:
            earlier.setdefault((key, pattern), []).append(rule)
    return found


def _keys(rule: RouteRule) -> Iterator[tuple[str, str]]:
    for key, any_of in (_NONE, *rule.conditions.given.items()):
        yield key, any_of[0]


def _takes(earlier: RouteRule, later: RouteRule) -> bool:
    """Whether whoever meets the later rule meets the earlier one."""
    if earlier.owner not in (0, later.owner):
        return False
    if earlier.unless is not None and earlier.unless != later.unless:
        return False
    wanted = later.conditions.given
    return all(
        key in wanted and set(wanted[key]) <= set(any_of) for key, any_of in earlier.conditions.given.items()
    )
