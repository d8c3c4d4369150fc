"""From the machine and its routes to everything of ours that should be in the kernel."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_network

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.door import LAN_ADAPTERS, RESOLVERS, Door
from procroute.core.failover import chosen
from procroute.core.gateways import gateways_of, known_gateways
from procroute.core.lan import lan_entries
from procroute.core.machine import Machine, Observed, Ours
from procroute.core.nft_text import fingerprint
from procroute.core.owners import owned
from procroute.core.packet_marks import ruleset
from procroute.core.reverse_path import rp_filter_drops
from procroute.core.rules import desired_rules
from procroute.core.tables import adapter_entries, adapters_with_addresses, lan_table, route_entries
from procroute.identity import Identity
from procroute.model import Adapter, Entry, Family, IPAddress, IPNetwork, LiveRoute, Marks

_REMEMBERED = 16
"""So many gateways of a route at most."""


def desired(identity: Identity, observed: Observed, routes: Collection[LiveRoute]) -> Ours:
    """What should be there for these routes; without routes, nothing."""
    if not routes:
        return Ours()
    ours = observed.ours
    return _desired(_Ground(identity, observed.machine, tuple(routes), ours.entries, ours.doors))


class _Ground(Struct, frozen=True):
    """All that is looked at for it. entries, doors: those that are there."""

    identity: Identity
    machine: Machine
    routes: tuple[LiveRoute, ...]
    entries: frozenset[Entry]
    doors: Mapping[int, Door]

    def __hash__(self) -> int:
        return hash((self.identity, self.machine.main, self.routes))


@lru_cache(
    4
)  # each look asks for it, most of them on the same ground; to compare takes a fiftieth of the time
def _desired(ground: _Ground) -> Ours:
    identity, machine = ground.identity, ground.machine
    routes = [chosen(machine, live) for live in ground.routes]
    entries = lan_table(identity, machine)
    for adapter in adapters_with_addresses(machine):
        entries += adapter_entries(identity, machine, adapter, sorted(routes, key=lambda r: r.number))
    for live in routes:
        entries += route_entries(identity, machine, live, ground.entries)
    strict_check = [a for a in _adapters_of(machine, routes) if rp_filter_drops(machine, a)]
    doors = {r.number: door(machine, r, ground.doors.get(r.number)) for r in routes}
    by_packets = {r.number for r in routes if r.marks is Marks.PACKETS}
    table = ruleset(identity, machine, routes, doors, entries)
    names = {identity.route_table(r.number): f"procroute-{r.route.name}" for r in routes}
    there = {entry: entry for entry in ground.entries}  # one object is compared at once, two alike are not
    return Ours(
        rules=frozenset(desired_rules(identity, machine, routes)),
        entries=frozenset(there.get(entry, entry) for entry in entries),
        targets=frozenset(remembered(machine, r) for r in routes),
        doors={number: door for number, door in doors.items() if number not in by_packets},
        ruleset=table,
        fingerprint=fingerprint(table),
        valid_mark=frozenset(a.name for a in strict_check),
        table_names=names if machine.names_tables else {},
        owners=owned(routes),
    )


def remembered(machine: Machine, live: LiveRoute) -> LiveRoute:
    """A live route with what is now known of its adapter and gateways.

    Main's, where a family that it has none for keeps the old one; and which of them do not answer.
    """
    adapter = machine.adapter_of(live)
    ifindex = adapter.ifindex if adapter is not None else live.ifindex
    silent = sorted(
        gateways_of(machine, [live]) & machine.failed_gateways, key=lambda n: (n[1].version, int(n[1]), n[0])
    )
    return replace(
        live,
        known=_known(machine, live),
        silent=tuple(gateway for by, gateway in silent if by == ifindex),
        silent_others=tuple((by, gateway) for by, gateway in silent if by != ifindex),
        ifindex=ifindex,
    )


def _known(machine: Machine, live: LiveRoute) -> tuple[IPAddress, ...]:
    """The gateways that main has for a route's adapters, and had, where it has none now."""
    now: dict[IPAddress, None] = {}
    kept = dict.fromkeys(live.known)
    for adapter in machine.members(live):
        found = known_gateways(machine, adapter)
        now |= dict.fromkeys(found)
        for family in {g.version for g in found}:
            of_it = (g for g in kept if not live.members or adapter.has_on_link(g))
            kept = {g: None for g in kept if g not in {g for g in of_it if g.version == family}}
    known = dict.fromkeys((*now, *kept))
    return tuple(sorted(known, key=lambda g: g.version))[:_REMEMBERED]


def door(machine: Machine, live: LiveRoute, before: Door | None = None) -> Door:
    """What the guard of a route lets through and what it may not be sent from, and where its look-ups go.

    before: the present one. Its resolvers stay: a process that has read about them once may go on asking.
    """
    adapter = machine.adapter_of(live)
    lan = dict(() if live.route.strict else _lan(machine.main, machine.adapters, adapter))
    if adapter is not None:
        lan.update((ip_network(s), (adapter.ifindex,)) for s in live.servers if not s.is_loopback)
    if live.by_main:
        lan = {family.everything: (0,) for family in Family}
    return Door(
        adapters=frozenset() if live.by_main else frozenset(a.ifindex for a in machine.members(live)),
        present=0 if adapter is None else adapter.ifindex,
        lan=frozenset((prefix, ifindex) for prefix, by in lan.items() for ifindex in by),
        dns_servers=() if live.by_main else live.servers,
        no_lookups=live.no_lookups and not live.by_main,
        resolvers=_resolvers(machine, _asked_before(live, before)),
        addresses=_addresses(machine.main, machine.adapters, adapter),
        inbound=live.route.inbound,
    )


def _asked_before(live: LiveRoute, before: Door | None) -> tuple[IPAddress, ...]:
    """What processes may have read to be a name server: the resolvers so far, and the route's servers."""
    if before is None:
        return ()
    return (*before.resolvers, *(s for s in before.dns_servers if s not in live.servers))


def _resolvers(machine: Machine, before: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    """The system's and earlier ones, in the order in which they came; the oldest of those make room."""
    now = machine.resolvers[:RESOLVERS]
    gone = [r for r in before if r not in now]
    forgotten = gone[: max(0, len(gone) + len(now) - RESOLVERS)]
    return tuple(dict.fromkeys(r for r in (*before, *now) if r not in forgotten))


@lru_cache(16)  # every route of an adapter asks for the same
def _lan(
    main: tuple[Entry, ...], adapters: tuple[Adapter, ...], own: Adapter | None
) -> tuple[tuple[IPNetwork, tuple[int, ...]], ...]:
    """The prefixes of the LAN, each with the adapters by which it is reached, as many as fit into a door."""
    found: dict[IPNetwork, dict[int, None]] = {}
    for entry in sorted(lan_entries(main, adapters, own), key=lambda e: e.metric):
        found.setdefault(entry.destination, {}).update((hop.ifindex, None) for hop in entry.hops)
    return tuple((prefix, (*by,)[:LAN_ADAPTERS]) for prefix, by in found.items())


@lru_cache(16)
def _addresses(
    main: tuple[Entry, ...], adapters: tuple[Adapter, ...], own: Adapter | None
) -> frozenset[tuple[IPAddress, int]]:
    """The machine's addresses, usable or not, each with one adapter that has it: the route's own, if it does.

    Those of loopback are the machine's rather than an adapter's, and count as the route's.
    """
    found = {
        address.interface.ip: adapter.ifindex
        for adapter in sorted((a for a in adapters if not a.loopback), key=lambda a: -a.ifindex)
        for address in adapter.addresses
        if not address.interface.ip.is_link_local
    }
    if own is not None:
        of_loopback = (a.interface.ip for d in adapters if d.loopback for a in d.addresses)
        anywhere = {ip for ip in of_loopback if not ip.is_loopback}
        found.update((ip, own.ifindex) for ip in anywhere | (_sources(main, own) & found.keys()))
    return frozenset(found.items())


def _sources(main: Iterable[Entry], own: Adapter) -> set[IPAddress]:
    """The addresses that packets by an adapter have: its own, and what main's entries by it prefer."""
    by_own = (e for e in main if e.hops and all(hop.ifindex == own.ifindex for hop in e.hops))
    preferred = {e.source for e in by_own if e.source is not None}
    return preferred | {a.interface.ip for a in own.addresses}


def _adapters_of(machine: Machine, routes: Collection[LiveRoute]) -> list[Adapter]:
    found = {a.ifindex: a for r in routes for a in machine.members(r)}
    return sorted(found.values(), key=lambda a: a.name)
