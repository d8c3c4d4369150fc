"""Which entries of main are the LAN, and so stay reachable for routed commands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_network

from msgspec.structs import replace

from procroute.model import Adapter, Entry, IPNetwork

# RFC 1918, RFC 3927, RFC 4193, RFC 4291 2.5.6
_PREFIXES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")


def _head(prefix: IPNetwork) -> tuple[int, int, int]:
    """The bits that a prefix fixes, how many follow them, and how many they are."""
    shift = prefix.max_prefixlen - prefix.prefixlen
    return int(prefix.network_address) >> shift, shift, prefix.prefixlen


# By IP version, as numbers: main may have thousands of entries.
_PRIVATE = {v: [_head(p) for p in map(ip_network, _PREFIXES) if p.version == v] for v in (4, 6)}

# What says where packets go; local, broadcast and anycast entries are for the table local.
_KINDS = frozenset({"unicast", "unreachable", "blackhole", "prohibit", "throw"})


def is_private(destination: IPNetwork) -> bool:
    """Whether a whole prefix is private, ULA or link-local."""
    start, length = int(destination.network_address), destination.prefixlen
    return any(
        length >= prefix and start >> shift == head for head, shift, prefix in _PRIVATE[destination.version]
    )


def is_connected(entry: Entry, adapter: Adapter | None) -> bool:
    """Whether an entry is the subnet of an address that the adapter itself has."""
    return (
        adapter is not None
        and all(h.gateway is None for h in entry.hops)
        and any(a.interface.network == entry.destination for a in adapter.addresses)
    )


def lan_entries(main: Iterable[Entry], adapters: Iterable[Adapter], own: Adapter | None) -> list[Entry]:
    """The entries of main that a non-strict route by adapter `own` keeps.

    Private prefixes, subnets that an adapter is connected to, and whatever main sends by `own` itself. Never
    a global prefix through another tunnel: OpenVPN's halves and WireGuard's lists of all but the LAN would
    catch everything. A connected subnet counts on another tunnel only when it is private.
    """
    return [*_lan_entries(tuple(main), tuple(adapters), own)]


@lru_cache(16)  # every route of an adapter asks for the same
def _lan_entries(
    main: tuple[Entry, ...], adapters: tuple[Adapter, ...], own: Adapter | None
) -> tuple[Entry, ...]:
    by_index = {a.ifindex: a for a in adapters}
    kept = []
    for whole in main:
        entry = _without_dead_hops(whole, by_index)
        if entry is None or entry.destination.prefixlen == 0 or entry.kind not in _KINDS:
            continue
        devices = [by_index.get(h.ifindex) for h in entry.hops]
        by_own = bool(entry.hops) and all(d is not None and d == own for d in devices)
        connected = len(devices) == 1 and is_connected(entry, devices[0]) and not _tunnel(devices[0])
        if by_own or connected or is_private(entry.destination):
            kept.append(entry)
    return tuple(_joined(kept))


def _joined(entries: Iterable[Entry]) -> Iterator[Entry]:
    """IPv6 entries by gateways for one destination as one, of those that the routers prefer.

    Main keeps what several router advertisements say apart; in our tables the kernel would join it
    (net/ipv6/ip6_fib.c, rt6_qualify_for_ecmp).
    """
    together: dict[object, Entry] = {}
    for entry in entries:
        joins = entry.destination.version == 6 and any(h.gateway is not None for h in entry.hops)
        key = (entry.destination, entry.metric) if joins else (entry,)
        found = together.get(key)
        if found is None or entry.preference > found.preference:
            together[key] = entry
        elif joins and entry.preference == found.preference:
            together[key] = replace(found, hops=tuple(dict.fromkeys((*found.hops, *entry.hops))))
    return iter(together.values())


def _without_dead_hops(entry: Entry, adapters: Mapping[int, Adapter]) -> Entry | None:
    """Linux keeps the hops of a multipath entry whose adapter went down, but would not add them anew."""
    hops = tuple(h for h in entry.hops if h.ifindex not in adapters or adapters[h.ifindex].up)
    if len(hops) == len(entry.hops):
        return entry
    return replace(entry, hops=hops) if hops else None


def own_first(entries: Collection[Entry], own: Adapter | None) -> list[Entry]:
    """Entries of the LAN, without those by other adapters to a subnet that adapter `own` is connected to.

    Two routers of one make give the same subnet; who leaves by one of them means the hosts there.
    """
    by_own = {e.destination for e in entries if _is_by(e, own) and is_connected(e, own)}
    shared = {d for d in by_own if not d.is_link_local}
    return [e for e in entries if e.destination not in shared or _is_by(e, own)] if shared else [*entries]


def _is_by(entry: Entry, adapter: Adapter | None) -> bool:
    return adapter is not None and bool(entry.hops) and all(h.ifindex == adapter.ifindex for h in entry.hops)


def own_subnets(main: Iterable[Entry], adapter: Adapter) -> list[Entry]:
    """What a strict route keeps: the adapter's own subnets and its link-local prefix."""
    return [
        e
        for e in main
        if [h.ifindex for h in e.hops] == [adapter.ifindex]
        and (is_connected(e, adapter) or (e.destination.version == 6 and e.destination.is_link_local))
        and e.destination.prefixlen > 0
    ]


def _tunnel(adapter: Adapter | None) -> bool:
    return adapter is not None and adapter.tunnel
