"""Which name servers a route's look-ups go to."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from procroute.core.door import SERVERS
from procroute.core.lan import lan_entries
from procroute.core.machine import Machine
from procroute.errors import ProcrouteError
from procroute.model import IPAddress, Route


def servers(
    machine: Machine, route: Route, adapters_own: Iterable[IPAddress]
) -> tuple[tuple[IPAddress, ...], list[str]]:
    """The servers for a route, and lines for people about what is not as they might expect.

    Given ones; or the adapter's own (adapters_own), else those of the system that lie behind the adapter.
    None where the system's are link-local ones on the adapter: look-ups go there, but no others can be sent.
    Raises ProcrouteError dns-unknown where look-ups would leave by another adapter, or by a local resolver.
    """
    if route.dns is not None:
        away = [s for s in route.dns if elsewhere(machine, route, s) and not s.is_loopback]
        return route.dns, [f"name server {s} is asked through {route.adapter}" for s in away]
    own = tuple(s for s in adapters_own if not s.is_link_local)
    if own:
        return _first(own), []
    behind = tuple(s for s in machine.resolvers if not s.is_link_local and not elsewhere(machine, route, s))
    if behind:
        return _first(behind), []
    asked = ", ".join(str(s) for s in machine.resolvers) or "none configured"
    if not machine.resolvers or any(elsewhere(machine, route, s) for s in machine.resolvers):
        raise ProcrouteError(
            "dns-unknown",
            f"no name server is known for {route.adapter}, and the system's ({asked}) would be asked past it",
            f"give one that {route.adapter} reaches: --dns ADDRESS; or --dns system to let them go that way",
        )
    return (), [f"only link-local name servers are known for {route.adapter}: look-ups go to {asked} alone"]


def _first(found: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    """As many of each family as a door takes; glibc would not ask more than three either."""
    return tuple(s for v in (4, 6) for s in [f for f in found if f.version == v][:SERVERS])


def elsewhere(machine: Machine, route: Route, server: IPAddress) -> bool:
    """Whether a server is this machine itself, or lies on the LAN of another adapter.

    A link-local one is where its zone says, a name or an ifindex.
    """
    if server.is_loopback or any(server == a.interface.ip for d in machine.adapters for a in d.addresses):
        return True
    adapter = machine.adapter(route.adapter)
    if isinstance(server, IPv6Address) and server.is_link_local:
        zones = (adapter.name, *adapter.altnames, str(adapter.ifindex)) if adapter else ()
        return server.scope_id not in zones
    covering = [
        e
        for e in lan_entries(machine.main, machine.adapters, route.adapter)
        if e.destination.version == server.version and server in e.destination
    ]
    if not covering or adapter is None:
        return False
    nearest = max(covering, key=lambda e: e.destination.prefixlen)
    return all(h.ifindex != adapter.ifindex for h in nearest.hops)
