"""The bytes that user space and the programs exchange: route.h and those of guard, dns and owner in Python.

Addresses are in network order, all other numbers in the machine's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from procroute.core.door import LAN_ADAPTERS, SERVERS, Marking
from procroute.errors import ProcrouteError
from procroute.model import IPAddress, IPNetwork, unmapped
from procroute.route_words import ADAPTERS

MAGIC: Final = 0x7072_0005
# LOOPBACK_IFINDEX (include/net/net_namespace.h): the same in every network namespace.
LOOPBACK: Final = 1
_MAPPED_LENGTH: Final = 96
_IS_SERVER: Final = 0x8000_0000
_NO_RESOLVER: Final = 0xFFFF
FIRST: Final = struct.pack("=I", 0)

_CFG: Final = struct.Struct("=6IQ")
_SLOTS: Final = struct.Struct("=4I")
_OWN4: Final = 4
_OWN6: Final = 8
_SERVERS: Final = struct.Struct(f"=2I{16 * (SERVERS + 1)}s{16 * (SERVERS + 1)}s")
_NUMBER: Final = struct.Struct("=I")
_OWNER: Final = struct.Struct("=II")
_COUNT: Final = struct.Struct("=Q")
_TRAFFIC: Final = struct.Struct("=QQ")
OUT: Final = struct.pack("=I", 0)
IN: Final = struct.pack("=I", 1)


def pack_cfg(marking: Marking, retval: bool) -> bytes:
    """struct cfg. retval: the kernel lets these programs choose the error (bpf_set_retval, 6.1 on)."""
    m = marking
    return _CFG.pack(MAGIC, m.mark, m.mask, m.bound, m.strict, retval, m.namespace)


def unpack_cfg(data: bytes) -> Marking | None:
    """The marking in a .rodata map; None when it is not one of ours, or of another version."""
    if len(data) != _CFG.size:
        return None
    magic, mark, mask, bound, strict, _retval, namespace = _CFG.unpack(data)
    return Marking(mark, mask, bound, bool(strict), namespace) if magic == MAGIC else None


def pack_door(
    adapters: Iterable[int],
    present: int,
    addresses: Iterable[tuple[IPAddress, int]],
    before: bytes | None = None,
) -> bytes:
    """struct door. Adapters that stay keep the slot they had, so that none is ever missing."""
    wanted = set(adapters)
    slots = list(_SLOTS.unpack_from(before)) if before else [LOOPBACK] * ADAPTERS
    slots = [slot if slot in wanted else LOOPBACK for slot in slots]
    for adapter in sorted(wanted - {LOOPBACK} - set(slots)):
        slots[slots.index(LOOPBACK)] = adapter
    own = sorted((a for a, adapter in addresses if adapter == present), key=int)
    own4 = b"".join(a.packed for a in own if isinstance(a, IPv4Address))[: 4 * _OWN4]
    own6 = b"".join(a.packed for a in own if isinstance(a, IPv6Address))[: 16 * _OWN6]
    return (
        _SLOTS.pack(*slots)
        + _NUMBER.pack(present or LOOPBACK)
        + own4.ljust(4 * _OWN4, b"\0")
        + own6.ljust(16 * _OWN6, b"\0")
    )


def unpack_adapters(data: bytes) -> tuple[frozenset[int], int]:
    """The ifindexes in a struct door, and the present one; 0: none."""
    (present,) = _NUMBER.unpack_from(data, _SLOTS.size)
    return frozenset(_SLOTS.unpack_from(data)) - {LOOPBACK}, 0 if present == LOOPBACK else present


def pack_prefix(prefix: IPNetwork) -> bytes:
    """struct prefix: the key of an LPM trie of both families."""
    length = prefix.prefixlen + (_MAPPED_LENGTH if prefix.version == 4 else 0)
    return _NUMBER.pack(length) + pack_address(prefix.network_address)


@lru_cache(4096)  # of all routes mostly the same
def unpack_prefix(key: bytes) -> IPNetwork:
    """The prefix in a struct prefix."""
    (length,) = _NUMBER.unpack_from(key)
    address = unpack_address(key[_NUMBER.size :])
    if isinstance(address, IPv4Address):
        return IPv4Network((address, length - _MAPPED_LENGTH))
    return IPv6Network((address, length))


def pack_lan(lan: Iterable[tuple[IPNetwork, int]]) -> dict[bytes, bytes]:
    """The LAN as the entries of its map, longest prefixes first: so an exception is there before what it is
    an exception from. Raises ProcrouteError where a prefix has more adapters than fit."""
    by_prefix: dict[bytes, set[int]] = {}
    for prefix, adapter in lan:
        by_prefix.setdefault(pack_prefix(prefix), set()).add(adapter)
    entries = {}
    for key in sorted(by_prefix, key=prefix_length, reverse=True):
        # 0 sorts first, where it means any; the slots that follow are then of no effect.
        adapters = sorted(by_prefix[key])
        if len(adapters) > LAN_ADAPTERS:
            raise ProcrouteError(
                "door-lan", f"{unpack_prefix(key)} is reached by more than {LAN_ADAPTERS} adapters"
            )
        entries[key] = _SLOTS.pack(*adapters, *[0] * (LAN_ADAPTERS - len(adapters)))
    return entries


def prefix_length(key: bytes) -> int:
    """The length in a struct prefix; an IPv4 prefix counts 96 more."""
    return int(_NUMBER.unpack_from(key)[0])


def unpack_lan(entries: Mapping[bytes, bytes]) -> frozenset[tuple[IPNetwork, int]]:
    """The LAN in the entries of its map."""
    lan = set()
    for key, value in entries.items():
        prefix = unpack_prefix(key)
        first, *others = _SLOTS.unpack(value)
        lan.add((prefix, first))
        lan.update((prefix, adapter) for adapter in others if adapter)
    return frozenset(lan)


def pack_address(address: IPAddress) -> bytes:
    """struct addr."""
    if isinstance(address, IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + address.packed
    return address.packed


@lru_cache(4096)
def unpack_address(data: bytes) -> IPAddress:
    """The address in a struct addr."""
    return unmapped(IPv6Address(data))


def pack_servers(servers: Iterable[IPAddress]) -> bytes:
    """struct servers."""
    packed: dict[int, list[bytes]] = {4: [], 6: []}
    for server in servers:
        packed[server.version].append(pack_address(server))
    return _SERVERS.pack(len(packed[4]), len(packed[6]), b"".join(packed[4]), b"".join(packed[6]))


def unpack_servers(data: bytes) -> tuple[IPAddress, ...]:
    """The servers in a struct servers, IPv4 first."""
    count4, count6, v4, v6 = _SERVERS.unpack(data)
    slots = [v4[i * 16 : i * 16 + 16] for i in range(count4)]
    slots += [v6[i * 16 : i * 16 + 16] for i in range(count6)]
    return tuple(unpack_address(slot) for slot in slots)


def pack_resolvers(resolvers: Iterable[IPAddress], servers: Iterable[IPAddress]) -> dict[bytes, bytes]:
    """The entries of the map of resolvers: address to place in the list, and to whether it is a server."""
    entries = {pack_address(resolver): place for place, resolver in enumerate(resolvers)}
    for server in map(pack_address, servers):
        entries[server] = entries.get(server, _NO_RESOLVER) | _IS_SERVER
    return {address: _NUMBER.pack(value) for address, value in entries.items()}


def unpack_resolvers(entries: Mapping[bytes, bytes]) -> tuple[IPAddress, ...]:
    """The resolvers in the entries of their map, in their order."""
    places = sorted((_NUMBER.unpack(value)[0] & ~_IS_SERVER, key) for key, value in entries.items())
    return tuple(unpack_address(key) for place, key in places if place != _NO_RESOLVER)


def pack_addresses(addresses: Iterable[tuple[IPAddress, int]]) -> dict[bytes, bytes]:
    """The entries of the map of the machine's addresses: address to ifindex."""
    return {pack_prefix(ip_network(address)): _NUMBER.pack(ifindex) for address, ifindex in addresses}


def unpack_addresses(entries: Mapping[bytes, bytes]) -> frozenset[tuple[IPAddress, int]]:
    """The addresses in the entries of their map, each with the ifindex."""
    return frozenset(
        (unpack_prefix(key).network_address, _NUMBER.unpack(value)[0]) for key, value in entries.items()
    )


def pack_owner(mark: int, *, alone: bool) -> bytes:
    """struct owner."""
    return _OWNER.pack(mark, alone)


def unpack_owner(data: bytes) -> tuple[int, bool]:
    """The mark in a struct owner, and whether the real uid counts, too."""
    mark, alone = _OWNER.unpack(data)
    return mark, bool(alone)


def pack_number(number: int) -> bytes:
    """A key or value that is one number."""
    return _NUMBER.pack(number)


def unpack_number(data: bytes) -> int:
    """The number in it."""
    return int(_NUMBER.unpack(data)[0])


def unpack_drops(entries: Mapping[bytes, bytes]) -> dict[int, int]:
    """Packets dropped, by ifindex."""
    return {_NUMBER.unpack(key)[0]: _COUNT.unpack(value)[0] for key, value in entries.items()}


def unpack_traffic(value: bytes) -> tuple[int, int]:
    """Packets and bytes in the struct traffic of every CPU."""
    each = list(_TRAFFIC.iter_unpack(value))
    return sum(packets for packets, _ in each), sum(count for _, count in each)
