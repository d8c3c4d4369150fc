"""Where an adapter's default leads, per family, and why it may lead nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from procroute.core.machine import Learnt, Machine
from procroute.model import Adapter, Entry, Family, Hop, IPAddress, LiveRoute, Marks

SCOPE_LINK = 253
KERNEL_TUNNELS: Final = frozenset(
    {
        *("wireguard", "amneziawg", "ovpn", "ipip", "sit", "gre", "gretap", "ip6gre", "ip6gretap", "ip6tnl"),
        *("vti", "vti6", "xfrm", "vxlan", "geneve", "erspan", "ip6erspan", "bareudp", "gtp", "l2tp"),
    }
)
"""Types (ip-link(8)) of adapters whose packets the kernel wraps in further ones of its own."""


class WayOut(Struct, frozen=True):
    """How a family leaves by an adapter. gateway None: the adapter needs none.

    model: main's own default for it, whose preferred source and metrics (MTU …) ours take over. keeper: who
    else told of the gateway.
    """

    gateway: IPAddress | None
    model: Entry | None = None
    keeper: str = ""


class NoWay(Struct, frozen=True):
    """Why a family cannot leave by an adapter, in words that follow `wan1 has`."""

    reason: str
    gateway_missing: bool = False


def defaults_in_main(
    main: Iterable[Entry], adapter: Adapter, family: Family
) -> list[tuple[Entry, IPAddress | None]]:
    """The defaults that main has by this adapter, and their gateways, the best first.

    By metric, then by the router's preference, then as the kernel lists them (net/ipv6/route.c,
    rt6_score_route). Hops of a multipath default count; so does one for some sources only, where the adapter
    has such an address and there is none for all. A default without a gateway does for none other.
    """
    return [*_defaults_in_main(tuple(main), adapter, family)]


@lru_cache(64)  # every route of an adapter asks for the same
def _defaults_in_main(
    main: tuple[Entry, ...], adapter: Adapter, family: Family
) -> tuple[tuple[Entry, IPAddress | None], ...]:
    found = [
        (entry, hop.gateway)
        for entry in main
        if entry.destination == family.everything and entry.kind == "unicast"
        if entry.only_from is None or any(ip in entry.only_from for ip in adapter.usable(family))
        for hop in entry.hops
        if hop.ifindex == adapter.ifindex
    ]
    found.sort(key=lambda f: (f[0].only_from is not None, *_rank(f[0])))
    without = found[:1] if found and found[0][1] is None else ()
    return tuple(without or (f for f in found if f[1] is not None))


def _rank(entry: Entry) -> tuple[int, int]:
    return entry.metric, -entry.preference


def _answering_default(
    machine: Machine, adapter: Adapter, family: Family
) -> tuple[Entry, IPAddress | None] | None:
    """The best default that main has by this adapter whose gateway is not silent; else the best."""
    found = defaults_in_main(machine.main, adapter, family)
    answering = (f for f in found if (adapter.ifindex, f[1]) not in machine.failed_gateways)
    return next(answering, found[0] if found else None)


def way_out(machine: Machine, adapter: Adapter, family: Family, live: LiveRoute | None) -> WayOut | NoWay:
    """How a family leaves by an adapter: by a given gateway, main's, a learnt or the last known one, or none.

    live: the route that asks; None for an adapter on its own.
    """
    if not adapter.up:
        return NoWay("been set down")
    if not adapter.carrier:
        return NoWay("no carrier")
    if not adapter.usable(family):
        return NoWay(f"no {family.title} address")
    if live is not None and live.marks is Marks.PACKETS and adapter.kind in KERNEL_TUNNELS:
        # nft would mark what it wraps again, and send it into the tunnel.
        return NoWay("no way without cgroup BPF, as a tunnel of the kernel's")
    given = live.route.gateway(family) if live else None
    if given is not None:
        return WayOut(given)
    found = _answering_default(machine, adapter, family)
    if found is not None:
        return WayOut(found[1], found[0])
    learnt = _answering_learnt(machine, adapter, family)
    if learnt is not None:
        return WayOut(learnt.gateway, keeper=learnt.keeper)
    remembered = live.last_known(family, adapter) if live else None
    if remembered is not None or adapter.tunnel:
        return WayOut(remembered)
    return NoWay(f"no {family.title} gateway", gateway_missing=True)


def routes_by(machine: Machine, adapter: Adapter, routes: Iterable[LiveRoute]) -> list[LiveRoute]:
    """Those of the routes that leave by an adapter."""
    return [live for live in routes if not live.by_main and machine.adapter_of(live) == adapter]


def routes_with(machine: Machine, adapter: Adapter, routes: Iterable[LiveRoute]) -> list[LiveRoute]:
    """Those of the routes that leave by an adapter, or may."""
    return [live for live in routes if adapter in machine.members(live)]


def leads_out(machine: Machine, adapter: Adapter, family: Family, routes: Iterable[LiveRoute]) -> bool:
    """Whether an adapter is a way to the world, were it all well: some only hold addresses of services.

    One that is down or has no carrier counts, since main has lost what it said of it.
    """
    with_it = routes_with(machine, adapter, routes)
    ways = (way_out(machine, adapter, family, live) for live in (None, *with_it))
    return not all(isinstance(way, NoWay) and way.gateway_missing for way in ways)


def learnt_gateways(machine: Machine, adapter: Adapter, family: Family) -> list[Learnt]:
    """Those kept for an adapter beside main that fit it.

    That is in a subnet of its own, or beside the address that it was leased with: clients make such a router
    reachable by an entry of its own (networkd-dhcp4.c, dhcp4_request_route_to_gateway).
    """
    own = {a.interface.ip for a in adapter.addresses}
    return [
        found
        for found in machine.learnt.get(adapter.ifindex, ())
        if found.gateway.version == family.value and found.gateway not in own
        if found.leased in own or adapter.has_on_link(found.gateway)
    ]


def _answering_learnt(machine: Machine, adapter: Adapter, family: Family) -> Learnt | None:
    """The most trusted one that is not silent; else the most trusted."""
    found = learnt_gateways(machine, adapter, family)
    answering = (f for f in found if (adapter.ifindex, f.gateway) not in machine.failed_gateways)
    return next(answering, found[0] if found else None)


def default_entry(machine: Machine, adapter: Adapter, family: Family, live: LiveRoute | None) -> Entry | None:
    """The default of a family by an adapter (table 0: to be set), or None where it has no way out.

    Nor has it one while its gateway does not answer: connects then fail at once instead of hanging.
    """
    way = way_out(machine, adapter, family, live)
    if isinstance(way, NoWay) or (adapter.ifindex, way.gateway) in machine.failed_gateways:
        return None
    # onlink: a gateway outside the adapter's subnets is common on rented servers, and no look-up is needed.
    hop = Hop(adapter.ifindex, way.gateway, onlink=way.gateway is not None)
    scope = SCOPE_LINK if family is Family.IPV4 and way.gateway is None else 0
    source = _source(way.model, adapter.usable(family)) if way.model else None
    source = source or adapter.fallback_source(family)
    metrics = way.model.metrics if way.model else ()
    return Entry(0, family.everything, (hop,), scope=scope, source=source, metrics=metrics)


def _source(model: Entry, usable: Sequence[IPAddress]) -> IPAddress | None:
    """The preferred source of a default like main's: its own; or one that it is for, where others are not."""
    if model.source in usable:
        return model.source
    fitting = [ip for ip in usable if model.only_from is None or ip in model.only_from]
    return fitting[0] if fitting and len(fitting) < len(usable) else None


def gateways_of(machine: Machine, routes: Iterable[LiveRoute]) -> frozenset[tuple[int, IPAddress]]:
    """(ifindex, gateway) of all gateways that these routes lead through or may: given, main's, learnt …"""
    found = set()
    for live, adapter in ((each, a) for each in routes for a in machine.members(each)):
        in_main = (gateway for f in Family for _, gateway in defaults_in_main(machine.main, adapter, f))
        beside = (found.gateway for f in Family for found in learnt_gateways(machine, adapter, f))
        known = (g for g in live.known if not live.members or adapter.has_on_link(g))
        candidates = (live.route.gateway4, live.route.gateway6, *known, *in_main, *beside)
        found |= {(adapter.ifindex, gateway) for gateway in candidates if gateway is not None}
    return frozenset(found)


def silent_gateways(machine: Machine, routes: Iterable[LiveRoute]) -> frozenset[tuple[int, IPAddress]]:
    """(ifindex, gateway) of what is written on these routes as not answering."""
    routes = tuple(routes)
    found = ((machine.adapter_of(live), live.silent) for live in routes)
    others = (n for live in routes for n in live.silent_others)
    return frozenset((adapter.ifindex, g) for adapter, silent in found if adapter for g in silent) | {*others}


def known_gateways(machine: Machine, adapter: Adapter) -> tuple[IPAddress, ...]:
    """What main says now, to be remembered. Router advertisements come again by themselves, so not theirs.

    Nor an IPv6 gateway of IPv4's: what is remembered is told by its family.
    """
    found = ((f, _answering_default(machine, adapter, f)) for f in Family)
    gateways = ((family, default[1]) for family, default in found if default is not None)
    return tuple(g for f, g in gateways if g is not None and g.version == f.value and not g.is_link_local)


def awaited_gateways(machine: Machine, live: LiveRoute) -> frozenset[tuple[int, IPAddress]]:
    """(ifindex, gateway) of those for whose answer a route waits: an adapter of its has none in a family that
    answers."""
    found: set[tuple[int, IPAddress]] = set()
    for adapter, family in ((a, f) for a in machine.members(live) for f in Family):
        way = way_out(machine, adapter, family, live)
        if isinstance(way, NoWay) or (adapter.ifindex, way.gateway) not in machine.failed_gateways:
            continue
        siblings = defaults_in_main(machine.main, adapter, family) if way.model else ()
        found |= {(adapter.ifindex, g) for g in (way.gateway, *(g for _, g in siblings)) if g is not None}
    return frozenset(found & machine.failed_gateways)


def gateways_to_ask(
    machine: Machine, awaited: Iterable[tuple[int, IPAddress]]
) -> frozenset[tuple[int, IPAddress]]:
    """Those of the awaited gateways that can be asked again without harm to bystanders.

    IPv6 passes by a router that is known to be dead, but not one that is being asked (rt6_check_neigh): where
    main has another that bystanders use in its stead it is left alone until it speaks itself, or the kernel
    has forgotten it.
    """
    return frozenset(n for n in awaited if n in machine.stirring_gateways or not _is_replaced(machine, n))


def _is_replaced(machine: Machine, dead: tuple[int, IPAddress]) -> bool:
    """Whether an IPv6 default of main leads elsewhere only because a gateway is known to be dead: for whoever
    is bound to its adapter, or for everybody, unless main prefers another that lives anyway."""
    carrying = {a.ifindex for a in machine.adapters if a.up and a.carrier}
    defaults = [
        (_rank(entry), (hop.ifindex, hop.gateway))
        for entry in machine.main
        if entry.destination == Family.IPV6.everything and entry.kind == "unicast"
        for hop in entry.hops
    ]
    by_it = [rank for rank, neighbour in defaults if neighbour == dead]
    others = [
        (rank, neighbour[0] == dead[0])
        for rank, neighbour in defaults
        if neighbour[0] in carrying and neighbour not in machine.failed_gateways
    ]
    if not by_it or not others:
        return False
    beside = any(here and rank >= min(by_it) for rank, here in others)
    return beside or min(rank for rank, _ in others) >= min(by_it)
