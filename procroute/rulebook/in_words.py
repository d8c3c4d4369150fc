"""Who takes a rule and which way it is, in words that a terminal may show. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from procroute.terminal import printable

_SHOWN: Final = 3
"""So many of a list are shown."""


def who(conditions: Mapping[str, Sequence[str]], unless: Mapping[str, Sequence[str]]) -> str:
    """Conditions in short: `exe /usr/bin/curl, not user ada or bob`."""
    told = [_all_of(conditions, ", ")] if conditions else []
    if unless:
        told.append(f"not {_all_of(unless, ' and ')}")
    return ", ".join(told)


def way(via: str, *, strict: bool | None) -> str:
    """Where it leads: `wan1, strict`, or `direct` without `via`."""
    if not via:
        return "direct"
    said = {None: "", True: ", strict", False: ", not strict"}[strict]
    return f"{printable(via)}{said}"


def _all_of(given: Mapping[str, Sequence[str]], between: str) -> str:
    """Each by its key; of a long list the first."""
    return between.join(f"{key} {_any_of(patterns)}" for key, patterns in given.items())


def _any_of(patterns: Sequence[str]) -> str:
    shown = [printable(pattern) for pattern in patterns[:_SHOWN]]
    more = len(patterns) - _SHOWN
    return " or ".join([*shown, f"{more} more"] if more > 0 else shown)
