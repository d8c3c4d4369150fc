"""A route as bytes, as they are written on its targets (kernel/records.py)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

import msgspec

from procroute.identity import Identity
from procroute.model import HOLD, IPAddress, LiveRoute, Marks, OnDown, Owner, Route


class Record(msgspec.Struct, frozen=True, cache_hash=True):
    """What is written on a target. namespace: the network namespace's inode; the rest as in LiveRoute."""

    namespace: int
    identity: Identity
    number: int
    adapter: str
    strict: bool
    gateway4: str
    gateway6: str
    dns: tuple[str, ...] | None
    servers: tuple[str, ...]
    known: tuple[str, ...]
    silent: tuple[str, ...] = ()
    no_lookups: bool = False
    ifindex: int = 0
    marks: Marks = Marks.SOCKETS
    others: tuple[str, ...] = ()
    on_down: OnDown | None = None
    reset: bool = False
    hold: float = HOLD
    inbound: bool = False
    members: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    by_main: bool = False
    silent_others: tuple[tuple[int, str], ...] = ()
    owners: tuple[Owner, ...] = ()
    tunnels: tuple[tuple[int, int], ...] = ()


_RECORD = msgspec.json.Decoder(Record)
"""Made here, by one thread: two that decode a type for the first time at once may crash in msgspec (0.22)."""


def encoded(namespace: int, identity: Identity, live: LiveRoute) -> bytes:
    """A route, to be written on its target."""
    route = live.route
    record = Record(
        namespace=namespace,
        identity=identity,
        number=live.number,
        adapter=route.adapter,
        strict=route.strict,
        gateway4=str(route.gateway4 or ""),
        gateway6=str(route.gateway6 or ""),
        dns=None if route.dns is None else tuple(map(str, route.dns)),
        servers=tuple(map(str, live.servers)),
        known=tuple(map(str, live.known)),
        silent=tuple(map(str, live.silent)),
        no_lookups=live.no_lookups,
        ifindex=live.ifindex,
        marks=live.marks,
        others=route.others,
        on_down=route.on_down,
        reset=route.reset,
        hold=route.hold,
        inbound=route.inbound,
        members=live.members,
        left=live.left,
        by_main=live.by_main,
        silent_others=tuple((ifindex, str(g)) for ifindex, g in live.silent_others),
        owners=live.owners,
        tunnels=live.tunnels,
    )
    return msgspec.json.encode(record)


@lru_cache(4096)  # the same bytes say the same: most of what is there was there at the last look
def decoded(text: bytes) -> Record:
    """What the bytes say. Raises msgspec.DecodeError."""
    return _RECORD.decode(text)


@lru_cache(4096)
def live_of(record: Record) -> LiveRoute:
    """The route that a record tells of."""
    route = Route(
        adapter=record.adapter,
        strict=record.strict,
        gateway4=ip_address(record.gateway4) if record.gateway4 else None,  # type: ignore[arg-type]
        gateway6=ip_address(record.gateway6) if record.gateway6 else None,  # type: ignore[arg-type]
        dns=None if record.dns is None else _addresses(record.dns),
        others=record.others,
        on_down=record.on_down,
        reset=record.reset,
        hold=record.hold,
        inbound=record.inbound,
    )
    servers, known, silent = map(_addresses, (record.servers, record.known, record.silent))
    return LiveRoute(
        route,
        record.number,
        servers,
        known,
        silent,
        record.no_lookups,
        record.ifindex,
        record.marks,
        record.members,
        record.left,
        record.by_main,
        tuple((ifindex, ip_address(g)) for ifindex, g in record.silent_others),
        record.owners,
        record.tunnels,
    )


def _addresses(texts: tuple[str, ...]) -> tuple[IPAddress, ...]:
    return tuple(ip_address(text) for text in texts)
