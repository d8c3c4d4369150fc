"""Where a route's name look-ups go."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from msgspec import Struct

from procroute.core.door import SERVERS
from procroute.core.lan import lan_entries
from procroute.core.machine import Machine
from procroute.model import IPAddress, Route


class Lookups(Struct, frozen=True):
    """How a route's look-ups go: to these servers; or refused; or, without both, as the system has it.

    notes: lines for people about what is not as they might expect.
    """

    servers: tuple[IPAddress, ...] = ()
    refused: bool = False
    notes: tuple[str, ...] = ()


def lookups(machine: Machine, route: Route, adapters_own: Iterable[IPAddress]) -> Lookups:
    """How the look-ups of a route are to go.

    To given servers; or the adapter's own (adapters_own), else those of the system that lie behind the
    adapter. Where the system's are link-local ones on the adapter they go there by themselves. Refused where
    they would leave by another adapter, or by a local resolver, which asks on its own route.
    """
    if route.dns is not None:
        away = [s for s in route.dns if elsewhere(machine, route, s) and not s.is_loopback]
        notes = (f"name server {s} is asked through {route.adapter}" for s in away)
        return Lookups(route.dns, notes=tuple(notes))
    own = tuple(s for s in adapters_own if not s.is_link_local)
    if own:
        return Lookups(_first(own))
    behind = tuple(s for s in machine.resolvers if not s.is_link_local and not elsewhere(machine, route, s))
    if behind:
        return Lookups(_first(behind))
    asked = ", ".join(str(s) for s in machine.resolvers) or "none configured"
    if not machine.resolvers or any(elsewhere(machine, route, s) for s in machine.resolvers):
        why = f"no name server is known for {route.adapter}; the system's ({asked}) would be asked past it"
        what = "look-ups fail; --dns ADDRESS gives one, --dns system lets them go that way"
        return Lookups(refused=True, notes=(why, what))
    alone = f"only link-local name servers are known for {route.adapter}: look-ups go to {asked} alone"
    return Lookups(notes=(alone,))


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
