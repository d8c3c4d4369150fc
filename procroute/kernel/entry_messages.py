"""An entry of a routing table as rtnetlink(7) writes it (struct rtmsg, linux/rtnetlink.h), there and back.

Of ip rules, links and neighbours there are few, and pyroute2 does them; of entries there can be thousands, at
each look, and its messages take ten times as long (docs/decisions/0006).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from socket import AF_INET, AF_INET6
from typing import Final

from msgspec.structs import replace

from procroute.model import Entry, Family, Hop, IPAddress, IPNetwork

AF: Final = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}
_FAMILY = {af: family for family, af in AF.items()}
# family, destination's and source's prefix length, TOS, table, protocol, scope, type, flags
_HEADER = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
# length, flags, weight - 1, ifindex (struct rtnexthop)
_NEXT_HOP = struct.Struct("=HBBi")
_NUMBER = struct.Struct("=I")
_DST, _SRC, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _MULTIPATH, _TABLE = 1, 2, 4, 5, 6, 7, 8, 9, 15
_VIA, _ROUTER_PREFERENCE, _ENCAPSULATION, _OBJECT = 18, 20, 21, 30
# linux/icmpv6.h, ICMPV6_ROUTER_PREF_*
_PREFERENCES = {1: 1, 3: -1}
_BY_PREFERENCE = {1: 1, -1: 3}
_KIND_MASK = 0x3FFF  # NLA_TYPE_MASK
_ONLINK, _CLONED = 0x4, 0x200
_BY_NUMBER = {
    1: "unicast",
    2: "local",
    3: "broadcast",
    4: "anycast",
    5: "multicast",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "throw",
}
_BY_KIND = {kind: number for number, kind in _BY_NUMBER.items()}
# RTAX_*; the name of a congestion control algorithm is a text, and is not carried over.
_METRIC_NAMES = (
    *("", "lock", "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit"),
    *("initcwnd", "features", "rto_min", "initrwnd", "quickack", "cc_algo", "fastopen_no_cookie"),
)
_CC_ALGO = 16


def request(family: Family, table: int = 0, protocol: int = 0) -> bytes:
    """The body that asks for the entries of one family, of a table or with a protocol if not 0."""
    body = _HEADER.pack(AF[family], 0, 0, 0, 0, protocol, 0, 0, 0)
    return body + attribute(_TABLE, _NUMBER.pack(table)) if table else body


def decoded(body: bytes, object_hops: Callable[[int], tuple[Hop, ...]] = lambda _: ()) -> Entry | None:
    """The entry in a message; None for what is no entry of its own: clones, and what TOS or source select,
    but for defaults. Nor is there one for what is encapsulated on its way: without that it would go astray.

    object_hops: what a next hop object leads to; nothing where it cannot be said.
    """
    entry, next_hop_object = _decoded(body)
    if entry is None or not next_hop_object:
        return entry
    hops = object_hops(next_hop_object)
    return replace(entry, hops=hops) if hops else None


@lru_cache(4096)  # the same bytes say the same: most of what is there was there at the last look
def _decoded(body: bytes) -> tuple[Entry | None, int]:
    """The entry in a message, but for the hops that it has by an object, and the number of that, or 0."""
    af, length, source_length, tos, table, protocol, scope, number, flags = _HEADER.unpack_from(body)
    if flags & _CLONED or tos or (source_length and length):
        return None, 0
    family = _FAMILY[af]
    found = dict(attributes(body, _HEADER.size))
    kind = kind_of(number)
    source = found.get(_PREFSRC)
    if _is_encapsulated(found):
        return None, 0
    hops = tuple(_hops(found, flags)) if kind == "unicast" else ()
    by_object = kind == "unicast" and not hops
    entry = Entry(
        table=_number(found, _TABLE) or table,
        destination=_network(family, found.get(_DST), length),
        hops=hops,
        kind=kind,
        scope=scope,
        source=address(source) if source else None,
        metric=_number(found, _PRIORITY),
        metrics=tuple(_metrics(found.get(_METRICS, b""))),
        protocol=protocol,
        only_from=_network(family, found.get(_SRC), source_length) if source_length else None,
        preference=_PREFERENCES.get(found.get(_ROUTER_PREFERENCE, b"\0")[0], 0),
    )
    return entry, _number(found, _OBJECT) if by_object else 0


def encoded(entry: Entry) -> bytes:
    """The body of the message that adds or deletes an entry."""
    destination = entry.destination
    one = entry.hops[0] if len(entry.hops) == 1 else None
    flags = _ONLINK if one and one.onlink else 0
    parts = [
        _HEADER.pack(
            AF[entry.family],
            destination.prefixlen,
            *(0, 0, 0),
            entry.protocol,
            entry.scope,
            _BY_KIND[entry.kind],
            flags,
        ),
        attribute(_TABLE, _NUMBER.pack(entry.table)),
    ]
    if destination.prefixlen:
        parts.append(attribute(_DST, destination.network_address.packed))
    if entry.metric:
        parts.append(attribute(_PRIORITY, _NUMBER.pack(entry.metric)))
    if entry.preference:
        parts.append(attribute(_ROUTER_PREFERENCE, bytes([_BY_PREFERENCE[entry.preference]])))
    if entry.source:
        parts.append(attribute(_PREFSRC, entry.source.packed))
    if entry.metrics:
        numbered = (
            attribute(_METRIC_NAMES.index(name), _NUMBER.pack(value)) for name, value in entry.metrics
        )
        parts.append(attribute(_METRICS, b"".join(numbered)))
    if one:
        parts += (attribute(_OIF, _NUMBER.pack(one.ifindex)), _to_gateway(one, entry.family))
    elif entry.hops:
        parts.append(attribute(_MULTIPATH, b"".join(_one_of_many(hop, entry.family) for hop in entry.hops)))
    return b"".join(parts)


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute as messages carry it, padded for the next one."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def kind_of(number: int) -> str:
    """The kind of an entry, by its number (RTN_*)."""
    return _BY_NUMBER.get(number, "other")


def attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute of a message, from a place on."""
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _KIND_MASK, data[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)


def _number(found: dict[int, bytes], kind: int) -> int:
    value = found.get(kind)
    return int(_NUMBER.unpack(value)[0]) if value else 0


def _network(family: Family, packed: bytes | None, length: int) -> IPNetwork:
    if packed is None:
        return family.everything
    number = int.from_bytes(packed)
    return IPv4Network((number, length)) if family is Family.IPV4 else IPv6Network((number, length))


def address(packed: bytes) -> IPAddress:
    """An address as messages carry it."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _hops(found: dict[int, bytes], flags: int) -> Iterator[Hop]:
    for hop_flags, weight, ifindex, of_hop in _many(found):
        yield Hop(ifindex, gateway(of_hop), bool(hop_flags & _ONLINK), weight + 1)
    if ifindex := _number(found, _OIF):
        yield Hop(ifindex, gateway(found), bool(flags & _ONLINK))


def _many(found: dict[int, bytes]) -> Iterator[tuple[int, int, int, dict[int, bytes]]]:
    """Flags, weight - 1, ifindex and attributes of each hop of a multipath entry."""
    many = found.get(_MULTIPATH, b"")
    at = 0
    while at + _NEXT_HOP.size <= len(many):
        length, flags, weight, ifindex = _NEXT_HOP.unpack_from(many, at)
        yield flags, weight, ifindex, dict(attributes(many[at : at + length], _NEXT_HOP.size))
        at += max(_NEXT_HOP.size, (length + 3) & ~3)


def _is_encapsulated(found: dict[int, bytes]) -> bool:
    return _ENCAPSULATION in found or any(_ENCAPSULATION in of_hop for *_, of_hop in _many(found))


def gateway(found: dict[int, bytes]) -> IPAddress | None:
    """Where an entry or a hop with these attributes leads next; None: nowhere but to the link."""
    via = found.get(_VIA)  # struct rtvia: a family, then the address
    packed = via[2:] if via else found.get(_GATEWAY)
    return address(packed) if packed else None


def _metrics(nested: bytes) -> Iterator[tuple[str, int]]:
    for kind, value in attributes(nested, 0):
        if 0 < kind < len(_METRIC_NAMES) and kind != _CC_ALGO:
            yield _METRIC_NAMES[kind], int(_NUMBER.unpack(value)[0])


def _one_of_many(hop: Hop, family: Family) -> bytes:
    gateway = _to_gateway(hop, family)
    length = _NEXT_HOP.size + len(gateway)
    return _NEXT_HOP.pack(length, _ONLINK if hop.onlink else 0, hop.weight - 1, hop.ifindex) + gateway


def _to_gateway(hop: Hop, family: Family) -> bytes:
    if hop.gateway is None:
        return b""
    if hop.gateway.version == family.value:
        return attribute(_GATEWAY, hop.gateway.packed)
    return attribute(_VIA, struct.pack("=H", AF[Family.of(hop.gateway)]) + hop.gateway.packed)
