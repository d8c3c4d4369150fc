"""Adapters as they are told, and what health checks have found of them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from procroute.checks import State


class AdapterWay(Struct, frozen=True, omit_defaults=True):
    """How a family leaves by an adapter: as `procroute adapters --json` tells it (docs/json.md)."""

    usable: bool
    gateway: str = ""
    learnt: str = ""
    answers: bool = True
    missing: str = ""


class CheckFacts(Struct, frozen=True, omit_defaults=True):
    """A health check: what it does, its state, since when (seconds of the Epoch), and why."""

    what: str
    state: State = "unknown"
    since: float = 0
    reason: str = ""


class HealthFacts(Struct, frozen=True, omit_defaults=True):
    """What the health checks of an adapter have found: all together, and each."""

    state: State = "unknown"
    since: float = 0
    reason: str = ""
    checks: list[CheckFacts] = []


class AdapterFacts(Struct, frozen=True, omit_defaults=True):
    """An adapter. state: up, no carrier, down. servers: its name servers. routes: in use that leave by it.

    health: None: it is not checked. over: of a tunnel, the way that is configured for its outer packets.
    """

    name: str
    ifindex: int
    type: str = ""
    state: str = ""
    addresses: list[str] = []
    ways: dict[Literal["ipv4", "ipv6"], AdapterWay] = {}
    servers: list[str] = []
    routes: list[str] = []
    health: HealthFacts | None = None
    over: str = ""
