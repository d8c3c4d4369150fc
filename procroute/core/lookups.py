"""Where a route's name look-ups go."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from msgspec import Struct

from procroute.core.door import SERVERS
from procroute.core.gateways import WayOut, way_out
from procroute.core.lan import lan_entries, own_subnets
from procroute.core.machine import Machine
from procroute.errors import ProcrouteError
from procroute.model import Entry, Family, IPAddress, LiveRoute, Route


class Lookups(Struct, frozen=True):
    """How a route's look-ups go: to these servers; or refused; or, without both, as the system has it.

    notes: lines for people about what is not as they might expect.
    """

    servers: tuple[IPAddress, ...] = ()
    refused: bool = False
    notes: tuple[str, ...] = ()


def lookups(machine: Machine, live: LiveRoute, adapters_own: Iterable[IPAddress]) -> Lookups:
    """How the look-ups of a route are to go.

    To given servers; or the adapter's own (adapters_own), else those of the system that lie behind the
    adapter. Where the system's are link-local ones on the adapter they go there by themselves. Refused where
    they would leave by another adapter, or by a local resolver, which asks on its own route; and while there
    is no adapter.

    Raises ProcrouteError dns-bad where the adapter lacks what every given server needs.
    """
    route = live.route
    if route.dns is not None:
        return _given(machine, live, route.dns)
    if machine.adapter_of(live) is None:
        return Lookups(refused=True)
    own = tuple(s for s in adapters_own if not s.is_link_local)
    if own:
        return Lookups(_first(own))
    behind = tuple(s for s in machine.resolvers if not s.is_link_local and not elsewhere(machine, live, s))
    if behind:
        return Lookups(_first(behind))
    away = [s for s in machine.resolvers if elsewhere(machine, live, s)]
    if away or not machine.resolvers:
        return Lookups(refused=True, notes=_refused(machine, route, away))
    asked = ", ".join(map(str, machine.resolvers))
    alone = f"only link-local name servers are known for {route.adapter}: look-ups go to {asked} alone"
    return Lookups(notes=(alone,))


def _given(machine: Machine, live: LiveRoute, servers: tuple[IPAddress, ...]) -> Lookups:
    """To given servers, as far as the adapter can reach them; with what is to be said of each."""
    useless = {s: why for s in servers if (why := _useless(machine, live, s)) is not None}
    if servers and len(useless) == len(servers):
        first, why = next(iter(useless.items()))
        which = f"name server {first} is" if len(servers) == 1 else f"name servers {_listed(servers)} are"
        other = "an IPv6" if first.version == 4 else "an IPv4"
        raise ProcrouteError("dns-bad", f"{which} of no use: {why}", f"give {other} one, or --dns system")
    notes = []
    for server in servers:
        if server in useless:
            notes.append(f"name server {server} is of no use now: {useless[server]}")
        elif is_here(machine, server):
            notes.append(f"name server {server} is this machine, which looks up on its own route")
        elif elsewhere(machine, live, server):
            where = _lan_of(machine, live, server)
            notes.append(
                f"name server {server} is {where}; asked through {live.route.adapter} it may not answer"
            )
    return Lookups(servers, notes=tuple(notes))


def _useless(machine: Machine, live: LiveRoute, server: IPAddress) -> str | None:
    """Why an adapter cannot reach a server, None where it can: on its own link without a gateway, too."""
    family, adapter = Family.of(server), machine.adapter_of(live)
    if family is Family.IPV6 and not machine.ipv6:
        return "this kernel has no IPv6"
    if is_here(machine, server) or adapter is None:
        return None
    way = way_out(machine, adapter, family, live)
    if isinstance(way, WayOut):
        return None
    strict = live.route.strict
    kept = own_subnets(machine.main, adapter) if strict else lan_entries(machine.main, [adapter], adapter)
    on_link = (e.family is family and server in e.destination and e.hops for e in kept)
    if way.gateway_missing and any(on_link) and not elsewhere(machine, live, server):
        return None
    return f"{adapter.name} has {way.reason}"


def _refused(machine: Machine, route: Route, away: list[IPAddress]) -> tuple[str, str]:
    """Why look-ups are refused, and what can be done. away: the system's servers, none of them to be asked.

    A strict route has no LAN: only the machine itself would be asked past its adapter.
    """
    none = f"no name server is known for {route.adapter}"
    if not away:
        what = (
            "look-ups fail; --dns ADDRESS gives one, --dns system leaves them to a resolver on this machine"
        )
        return f"{none}, nor any configured on this machine", what
    past = [s for s in away if is_here(machine, s) or not route.strict]
    apart = [s for s in away if s not in past]
    why = [f"the system's ({_listed(past)}) would be asked past it"] if past else []
    why += [f"the system's ({_listed(apart)}) cannot be reached with --strict"] if apart else []
    gives = "look-ups fail; --dns ADDRESS gives one, --dns system"
    what = f"{gives} leaves them as they are" if apart else f"{gives} lets them go that way"
    return f"{none}; {', and '.join(why)}", what


def _listed(servers: Iterable[IPAddress]) -> str:
    return ", ".join(map(str, servers))


def _first(found: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    """As many of each family as a door takes; glibc would not ask more than three either."""
    return tuple(s for v in (4, 6) for s in [f for f in found if f.version == v][:SERVERS])


def is_here(machine: Machine, server: IPAddress) -> bool:
    """Whether a server is this machine itself."""
    own = (a.interface.ip for d in machine.adapters for a in d.addresses)
    return server.is_loopback or any(server == ip for ip in own)


def elsewhere(machine: Machine, live: LiveRoute, server: IPAddress) -> bool:
    """Whether a server is this machine itself, or lies on the LAN of another adapter.

    A link-local one is where its zone says, a name or an ifindex.
    """
    if is_here(machine, server):
        return True
    adapter = machine.adapter_of(live)
    if isinstance(server, IPv6Address) and server.is_link_local:
        zones = (adapter.name, *adapter.altnames, str(adapter.ifindex)) if adapter else ()
        return server.scope_id not in zones
    nearest = _nearest(machine, live, server)
    if nearest is None:
        return False
    return adapter is None or all(h.ifindex != adapter.ifindex for h in nearest.hops)


def _nearest(machine: Machine, live: LiveRoute, server: IPAddress) -> Entry | None:
    """The LAN entry that a server is reached by, None where it is on no LAN."""
    covering = [
        e
        for e in lan_entries(machine.main, machine.adapters, machine.adapter_of(live))
        if e.destination.version == server.version and server in e.destination
    ]
    return max(covering, key=lambda e: e.destination.prefixlen, default=None)


def _lan_of(machine: Machine, live: LiveRoute, server: IPAddress) -> str:
    """Where a server lies that is on no LAN of the route's adapter, in words that follow `is`."""
    nearest = _nearest(machine, live, server)
    by = {h.ifindex for h in nearest.hops} if nearest else set()
    names = [a.name for a in machine.adapters if a.ifindex in by]
    return f"on the LAN of {' and '.join(names)}" if names else "unreachable by main"
