"""Who takes a rule and which way it is, in words that a terminal may show. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from procroute.route_words import SYSTEM
from procroute.terminal import printable

_SHOWN: Final = 3
"""So many of a list are shown."""


def who(conditions: Mapping[str, Sequence[str]], unless: Mapping[str, Sequence[str]]) -> str:
    """Conditions in short: `exe /usr/bin/curl, not user ada or bob`."""
    told = [_all_of(conditions, ", ")] if conditions else []
    if unless:
        told.append(f"not {_all_of(unless, ' and ')}")
    return ", ".join(told)


class Way(Protocol):
    """The way of a rule as it is written; None and empty: not said."""

    @property
    def via(self) -> str: ...
    @property
    def strict(self) -> bool | None: ...
    @property
    def gateway4(self) -> str | None: ...
    @property
    def gateway6(self) -> str | None: ...
    @property
    def dns(self) -> Sequence[str] | None: ...
    @property
    def on_down(self) -> str | None: ...
    @property
    def hold(self) -> float | None: ...
    @property
    def inbound(self) -> bool | None: ...


def way(rule: Way) -> str:
    """Where it leads, and with which options: `wan1, strict, dns 192.0.2.53`, or `direct`."""
    if not rule.via:
        return "direct"
    told = [rule.via]
    for key in ("strict", "inbound"):
        said = getattr(rule, key)
        told += [] if said is None else [key if said else f"not {key}"]
    told += [f"gateway {gateway}" for gateway in (rule.gateway4, rule.gateway6) if gateway]
    if rule.dns is not None:
        told.append(f"dns {' '.join(rule.dns) or SYSTEM}")
    told += [f"on_down {rule.on_down}"] if rule.on_down else []
    told += [f"hold {rule.hold:g}"] if rule.hold is not None else []
    return printable(", ".join(told))


def _all_of(given: Mapping[str, Sequence[str]], between: str) -> str:
    """Each by its key; of a long list the first."""
    return between.join(f"{key} {_any_of(patterns)}" for key, patterns in given.items())


def _any_of(patterns: Sequence[str]) -> str:
    shown = [printable(pattern) for pattern in patterns[:_SHOWN]]
    more = len(patterns) - _SHOWN
    return " or ".join([*shown, f"{more} more"] if more > 0 else shown)
