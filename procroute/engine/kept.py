"""What others keep of an adapter for whoever asks: NetworkManager, which is asked only where it is needed."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from procroute.core.gateways import NoWay, WayOut, way_out
from procroute.core.machine import Machine
from procroute.core.overview import Servers
from procroute.core.tables import families
from procroute.kernel import name_servers, network_manager
from procroute.model import Adapter, LiveRoute


def taken_in(machine: Machine, adapter: Adapter, live: LiveRoute) -> tuple[LiveRoute, Servers]:
    """A route, and the name servers of its adapter, with what NetworkManager knows where nobody else does.

    Its gateway is remembered like one that main had: NetworkManager tells of it once, at the start.
    """
    ways = {f: way_out(machine, adapter, f, live) for f in families(machine)}
    missing = {f for f, way in ways.items() if isinstance(way, NoWay) and way.gateway_missing}
    managed = network_manager.anew() if missing else {}
    servers = Servers() if live.route.dns is not None else of_adapter(machine, adapter)
    found = managed.get(adapter.name)
    if found is None:
        return live, servers
    with_it = replace(machine, learnt={adapter.ifindex: found.gateways})
    now = (way_out(with_it, adapter, f, live) for f in missing)
    gateways = (way.gateway for way in now if isinstance(way, WayOut) and way.gateway is not None)
    return replace(live, known=(*live.known, *gateways)), servers


def of_adapter(machine: Machine, adapter: Adapter) -> Servers:
    """The name servers of an adapter that are asked, and who keeps them."""
    return next(_given(machine, adapter), None) or name_servers.of_adapter(adapter)


def _given(machine: Machine, adapter: Adapter) -> Iterator[Servers]:
    if servers := machine.given_to(adapter):
        yield Servers(servers, "configuration")


def everything(machine: Machine) -> tuple[Machine, dict[int, tuple[Servers, ...]]]:
    """A machine with all that NetworkManager knows, and each adapter's name servers, by who keeps them."""
    known = network_manager.known()
    learnt, servers = dict(machine.learnt), {}
    for adapter in machine.outward():
        found = known.get(adapter.name, network_manager.Known())
        learnt[adapter.ifindex] = (*learnt.get(adapter.ifindex, ()), *found.gateways)
        servers[adapter.ifindex] = (*_given(machine, adapter), *name_servers.every(adapter))
    return replace(machine, learnt=learnt), servers
