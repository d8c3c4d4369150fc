"""What others keep of an adapter for whoever asks: NetworkManager, which is asked only where it is needed."""

from __future__ import annotations

from msgspec.structs import replace

from procroute.core.gateways import NoWay, WayOut, way_out
from procroute.core.machine import Machine
from procroute.core.overview import Servers
from procroute.core.tables import families
from procroute.kernel import network_manager, resolvers
from procroute.model import Adapter, LiveRoute


def taken_in(machine: Machine, adapter: Adapter, live: LiveRoute) -> tuple[LiveRoute, Servers]:
    """A route, and the name servers of its adapter, with what NetworkManager knows where nobody else does.

    Its gateway is remembered like one that main had: NetworkManager tells of it once, at the start.
    """
    servers = resolvers.of_adapter(adapter.ifindex)
    ways = {f: way_out(machine, adapter, f, live) for f in families(machine)}
    missing = {f for f, way in ways.items() if isinstance(way, NoWay) and way.gateway_missing}
    if not missing and (servers.addresses or live.route.dns is not None):
        return live, servers
    found = network_manager.known().get(adapter.name)
    if found is None:
        return live, servers
    if not servers.addresses:
        servers = Servers(found.servers, network_manager.KEEPER)
    with_it = replace(machine, learnt={adapter.ifindex: found.gateways})
    now = (way_out(with_it, adapter, f, live) for f in missing)
    gateways = (way.gateway for way in now if isinstance(way, WayOut) and way.gateway is not None)
    return replace(live, known=(*live.known, *gateways)), servers


def everything(machine: Machine) -> tuple[Machine, dict[int, Servers]]:
    """A machine, and each adapter's name servers, with all that NetworkManager knows."""
    known = network_manager.known()
    learnt, servers = dict(machine.learnt), {}
    for adapter in machine.outward():
        found = known.get(adapter.name, network_manager.Known())
        learnt[adapter.ifindex] = (*learnt.get(adapter.ifindex, ()), *found.gateways)
        servers[adapter.ifindex] = resolvers.of_adapter(adapter.ifindex)
        if not servers[adapter.ifindex].addresses and found.servers:
            servers[adapter.ifindex] = Servers(found.servers, network_manager.KEEPER)
    return replace(machine, learnt=learnt), servers
