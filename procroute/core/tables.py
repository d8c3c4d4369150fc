"""The entries of our tables: one table per route, the complete truth; one for the LAN; one per adapter."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, ip_network

from msgspec.structs import replace

from procroute.core.gateways import default_entry, leads_out, routes_with
from procroute.core.lan import lan_entries, own_first, own_subnets
from procroute.core.lookups import elsewhere
from procroute.core.machine import Machine
from procroute.identity import Identity
from procroute.model import Adapter, Entry, Family, LiveRoute

# Multicast and limited broadcast of non-strict routes follow main: `throw` lets the look-up go on.
FOLLOWS_MAIN = (IPv4Network("224.0.0.0/4"), IPv4Network("255.255.255.255/32"))

IPV6_METRIC = 1024


def families(machine: Machine) -> tuple[Family, ...]:
    """The families that this kernel has."""
    return (Family.IPV4, Family.IPV6) if machine.ipv6 else (Family.IPV4,)


def adapters_with_addresses(machine: Machine) -> list[Adapter]:
    """The adapters that get a table of their own."""
    return [a for a in machine.outward() if any(a.usable(f) for f in families(machine))]


def route_entries(
    identity: Identity, machine: Machine, live: LiveRoute, present: frozenset[Entry]
) -> list[Entry]:
    """The table of a route as it should be now.

    present: what is there. A gateway that is being asked for again is left as it is, so that a blip neither
    withdraws a default that works nor brings one back that does not.
    """
    table = identity.route_table(live.number)
    adapter = machine.adapter_of(live)
    entries: list[Entry] = []
    if adapter is not None:
        if live.route.strict:
            entries += (_with_source(e, adapter) for e in own_subnets(machine.main, adapter))
        entries += _defaults(identity, machine, adapter, live, table, present)
    if not live.route.strict:
        kept = own_first(lan_entries(machine.main, machine.adapters, adapter), adapter)
        entries += (_with_source(e, adapter) for e in kept)
        entries += (Entry(table, n, kind="throw") for n in FOLLOWS_MAIN)
        entries += _name_servers(machine, live, table)
    return [ours(identity, e, table) for e in entries]


def _with_source(entry: Entry, adapter: Adapter | None) -> Entry:
    """An entry of main that leads by the route's adapter, with the source that has to be named there."""
    by_it = adapter is not None and bool(entry.hops) and all(h.ifindex == adapter.ifindex for h in entry.hops)
    if adapter is None or not by_it or entry.source is not None or entry.destination.is_link_local:
        return entry
    return replace(entry, source=adapter.fallback_source(entry.family))


def _name_servers(machine: Machine, live: LiveRoute, table: int) -> Iterable[Entry]:
    """Entries for name servers that the LAN entries would lead to another adapter."""
    adapter = machine.adapter_of(live)
    for server in live.servers:
        if server.is_loopback or server.is_link_local or not elsewhere(machine, live, server):
            continue
        way = default_entry(machine, adapter, Family.of(server), live) if adapter else None
        there = ip_network(server)
        yield replace(way, destination=there) if way else Entry(table, there, kind="unreachable")


def lan_table(identity: Identity, machine: Machine) -> list[Entry]:
    """The LAN for sockets that are bound to an address, whichever it is."""
    entries = lan_entries(machine.main, machine.adapters, own=None)
    return [ours(identity, e, identity.table) for e in entries]


def adapter_entries(
    identity: Identity, machine: Machine, adapter: Adapter, routes: Iterable[LiveRoute]
) -> list[Entry]:
    """By which way a socket answers that is bound to an address of this adapter.

    Main's; where it has none, by the gateway that was given for a route or is remembered. Nothing for an
    adapter that is no way out: there the route's own is.
    """
    routes = tuple(routes)
    with_it = routes_with(machine, adapter, routes)
    entries = []
    for family in families(machine):
        if not adapter.usable(family) or not leads_out(machine, adapter, family, routes):
            continue
        table = identity.adapter_table_of(adapter.ifindex)
        ways = (default_entry(machine, adapter, family, live) for live in (None, *with_it))
        default = next((way for way in ways if way is not None), None)
        entries.append(default or Entry(table, family.everything, kind="unreachable"))
    return [ours(identity, e, identity.adapter_table_of(adapter.ifindex)) for e in entries]


def _defaults(
    identity: Identity,
    machine: Machine,
    adapter: Adapter,
    live: LiveRoute,
    table: int,
    present: Iterable[Entry],
) -> list[Entry]:
    entries = []
    table_is_new = not any(e.table == table for e in present)
    for family in families(machine):
        entry = default_entry(machine, adapter, family, live)
        if entry is None:
            continue
        probing = (adapter.ifindex, entry.hops[0].gateway) in machine.probing_gateways
        if probing and not table_is_new and ours(identity, entry, table) not in present:
            continue
        entries.append(entry)
    return entries


@lru_cache(4096)  # at each look the same
def ours(identity: Identity, entry: Entry, table: int) -> Entry:
    """An entry as it stands in one of our tables, in the form in which the kernel gives it back."""
    metric = entry.metric or (IPV6_METRIC if entry.family is Family.IPV6 else 0)
    # onlink: main keeps a gateway whose subnet has gone meanwhile, but Linux would not take it anew.
    hops = tuple(replace(h, onlink=h.gateway is not None) for h in entry.hops)
    return replace(entry, hops=hops, table=table, protocol=identity.protocol, metric=metric)
