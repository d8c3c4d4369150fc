"""What `procroute adapters` tells of each adapter: its ways out, where each was learnt, and who uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.gateways import NoWay, routes_by, way_out
from procroute.core.health import AdapterFound
from procroute.core.machine import Machine
from procroute.core.tables import families
from procroute.model import Adapter, Entry, Family, IPAddress, LiveRoute
from procroute.tunnels import Tunnel

# linux/rtnetlink.h (RTPROT_*), and /usr/share/iproute2/rt_protos for daemons.
_PROTOCOLS: Mapping[int, str] = {
    2: "kernel",
    3: "boot",
    4: "static",
    9: "router advertisement",
    16: "DHCP",
    42: "babel",
    186: "BGP",
    188: "OSPF",
    189: "RIP",
}


class Servers(Struct, frozen=True):
    """Name servers, and who keeps them."""

    addresses: tuple[IPAddress, ...] = ()
    learnt: str = ""


class Way(Struct, frozen=True):
    """How a family leaves by an adapter. gateway: its address, or none needed. learnt: where it is from.

    missing: why it cannot leave, in words that follow `wan1 has`; then there is neither.
    """

    gateway: IPAddress | None = None
    learnt: str = ""
    answers: bool = True
    missing: str = ""


class AdapterView(Struct, frozen=True):
    """One adapter as people look at it. state: up, no carrier, down. routes: names of those that use it.

    servers: everybody's who keeps name servers for it; the first are asked. health: what its checks have
    found; None: it is not checked. over: the way that is configured for its outer packets; empty: none.
    """

    adapter: Adapter
    state: str
    ways: Mapping[Family, Way]
    servers: tuple[Servers, ...] = ()
    routes: tuple[str, ...] = ()
    health: AdapterFound | None = None
    over: str = ""

    @property
    def asked(self) -> Servers:
        """The name servers of it that are asked, and who keeps them."""
        return next(iter(self.servers), Servers())


def adapters(
    machine: Machine,
    routes: Collection[LiveRoute],
    servers: Mapping[int, tuple[Servers, ...]],
    health: Collection[AdapterFound] = (),
    tunnels: Mapping[str, Tunnel] = {},
) -> list[AdapterView]:
    """Every adapter but loopback, those with a way out first. servers: as of AdapterView, by ifindex.

    tunnels: those that are configured, by name.
    """
    found = {each.ifindex: each for each in health}
    over = {a.ifindex: each.over for name, each in tunnels.items() if (a := machine.adapter(name))}
    views = [
        replace(_view(machine, a, routes, servers, found.get(a.ifindex)), over=over.get(a.ifindex, ""))
        for a in machine.outward()
    ]
    return sorted(views, key=lambda v: (all(w.missing for w in v.ways.values()), v.adapter.ifindex))


def _view(
    machine: Machine,
    adapter: Adapter,
    routes: Collection[LiveRoute],
    servers: Mapping[int, tuple[Servers, ...]],
    health: AdapterFound | None,
) -> AdapterView:
    by_it = sorted(routes_by(machine, adapter, routes), key=lambda live: live.number)
    return AdapterView(
        adapter=adapter,
        state=adapter.state,
        ways=ways(machine, adapter, [None, *by_it]),
        servers=servers.get(adapter.ifindex, ()),
        routes=tuple(live.route.name for live in by_it),
        health=health,
    )


def ways(machine: Machine, adapter: Adapter, asking: Sequence[LiveRoute | None]) -> dict[Family, Way]:
    """How each family leaves by an adapter, for the first of these that has a way; None: for no route."""
    return {family: _way(machine, adapter, family, asking) for family in families(machine)}


def _way(machine: Machine, adapter: Adapter, family: Family, asking: Sequence[LiveRoute | None]) -> Way:
    """What a route was given, main's, a learnt one, or what a route remembers."""
    for live in asking:
        way = way_out(machine, adapter, family, live)
        if isinstance(way, NoWay):
            continue
        answers = (adapter.ifindex, way.gateway) not in machine.failed_gateways
        if way.model is not None:
            learnt = _of_entry(way.model)
        elif way.keeper:
            learnt = way.keeper
        elif live is not None and way.gateway is not None:
            learnt = "given" if way.gateway == live.route.gateway(family) else "remembered"
        else:
            learnt = "point-to-point"
        return Way(way.gateway, learnt, answers)
    missing = way_out(machine, adapter, family, None)
    assert isinstance(missing, NoWay)
    return Way(missing=missing.reason)


def _of_entry(entry: Entry) -> str:
    told_by = _PROTOCOLS.get(entry.protocol, f"protocol {entry.protocol}")
    return f"main, {told_by}"
