"""Route rules as they are told."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from procroute.model import Existing, WhenDown
from procroute.protocol.values import Down


class RuleFacts(Struct, frozen=True, omit_defaults=True):
    """A route rule. place: FILE:LINE. owner: whose it is, 0: the administrator's. via: empty: `direct`.

    finds: how it finds its processes: `held` (their exec waits for it), `unit`, `user` (the cgroup of the
    unit, or of the user where systemd keeps one, follows in place), `owner` (sockets are marked by whose they
    are), `news` (of processes that have come or changed: the first packets may go before). strict to inbound:
    None: not said in the rule. conditions, unless: as they are written.
    """

    place: str
    owner: int
    finds: Literal["held", "unit", "user", "owner", "news"]
    via: str = ""
    strict: bool | None = None
    gateway4: str | None = None
    gateway6: str | None = None
    dns: list[str] | None = None
    on_down: Down | None = None
    hold: float | None = None
    inbound: bool | None = None
    conditions: dict[str, list[str]] = {}
    unless: dict[str, list[str]] = {}
    existing: Existing = "keep"
    when_down: WhenDown | None = None
    comment: str = ""
    enabled: bool = True


class TriedRule(Struct, frozen=True, omit_defaults=True):
    """A rule that was tried on a process. why: it does not hold, in words; empty: it does."""

    rule: RuleFacts
    why: str = ""
