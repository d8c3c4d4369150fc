"""Frozen types: a route rule, and the rulebook that all of them make in their order.

`model.Rule` is an ip rule of the kernel's; a *route rule* is a line of ours above it: who, and which way.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct, structs

from procroute.model import Existing, IPAddress, OnDown, Route, WhenDown
from procroute.written.finding import Finding


class Conditions(Struct, frozen=True, cache_hash=True):
    """What a process must be. Each that is not empty must hold (all); one of its patterns is enough (any).

    exe: absolute paths, globs (`*`, `?`, `[…]` in a folder, `**` any folders). name: globs. command: globs
    over the words with one space between. user: of the effective uid; group: the effective and supplementary
    ones; both names or numbers, no globs. cgroup: globs, from the root of cgroup2; what lies below matches,
    too. unit: globs, always with their ending; what lies in a unit matches. app: globs of desktop application
    ids. parent: of any process that it descends from, its name or, with a `/`, its path; globs.
    """

    exe: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    cgroup: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    app: tuple[str, ...] = ()
    parent: tuple[str, ...] = ()

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """Those that are not empty, by their key."""
        return {key: value for key, value in structs.asdict(self).items() if value}


class Via(Struct, frozen=True, cache_hash=True):
    """The way that a rule gives. name: of a `[route.NAME]` of the configuration, else of an adapter.

    What is None holds as the named route has it; an adapter has the defaults of model.Route. reset: as in
    that, by `existing` of the rule.
    """

    name: str
    strict: bool | None = None
    gateway4: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPAddress, ...] | None = None
    on_down: OnDown | None = None
    hold: float | None = None
    inbound: bool | None = None
    reset: bool | None = None

    def route(self, named: Mapping[str, Route]) -> Route:
        """The route that is meant. named: those of the configuration (config.Settings.route)."""
        options = (*WAY_OPTIONS, "reset")
        given = {key: value for key in options if (value := getattr(self, key)) is not None}
        return structs.replace(named.get(self.name) or Route(self.name), **given)


WAY_OPTIONS: Final = Via.__struct_fields__[1:-1]
"""What a rule can say of its way besides where it leads, by the keys of files."""


class RouteRule(Struct, frozen=True, cache_hash=True):
    """One route rule. via: its way; None: `direct`, the machine's own way, an exception from later rules.

    conditions must hold, and those of `unless`, where there are some, must not all hold. owner: the uid whose
    rule it is; one that is not 0 matches only processes whose real and effective uid are this one.
    file, line: of its `[[rule]]`; nth: the how-manieth of its file, from 0.
    """

    conditions: Conditions
    via: Via | None
    unless: Conditions | None = None
    existing: Existing = "keep"
    when_down: WhenDown | None = None
    comment: str = ""
    enabled: bool = True
    owner: int = 0
    file: str = ""
    line: int = 0
    nth: int = 0

    @property
    def place(self) -> str:
        """As people are told: FILE:LINE."""
        return f"{self.file}:{self.line}"

    def if_down(self, *, strict: bool) -> WhenDown:
        """What holds when the daemon does not answer. strict: of the route that is meant (Via.route)."""
        if self.via is None:
            return "allow"
        return self.when_down or ("deny" if strict else "allow")


class Rulebook(Struct, frozen=True):
    """All rules in the order in which they are asked, switched off ones, too; and what was noticed."""

    rules: tuple[RouteRule, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Why it must not be used: one is enough."""
        return tuple(f for f in self.findings if f.error)
