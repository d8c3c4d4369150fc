"""What somebody asks of `run`, and the route that it becomes on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct
from msgspec.structs import replace

from procroute.core import choose, lookups, overlap
from procroute.core.machine import Observed
from procroute.engine import kept
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.interface import Kernel
from procroute.model import Adapter, IPAddress, LiveRoute, Marks, Route


class Request(Struct, frozen=True):
    """A command and how it is to leave. dns as in Route. user: a name or uid; None: whoever called.

    gateway6: its zone (RFC 4007, `%wan1`), where it has one, says again which adapter is meant.
    """

    command: Sequence[str]
    adapter: str
    strict: bool = False
    gateway4: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPAddress, ...] | None = None
    user: str | None = None


def named(request: Request, routes: Mapping[str, Route]) -> Request:
    """A request whose `adapter` may be a name of the configuration's, by what that stands for.

    routes: those of the configuration. What is given with the request goes before what the name has.
    """
    meant = routes.get(request.adapter)
    if meant is None:
        return request
    return replace(
        request,
        adapter=meant.adapter,
        strict=request.strict or meant.strict,
        gateway4=request.gateway4 or meant.gateway4,
        gateway6=request.gateway6 or meant.gateway6,
        dns=meant.dns if request.dns is None else request.dns,
    )


def route_for(
    kernel: Kernel, observed: Observed, request: Request, marks: Marks = Marks.SOCKETS
) -> tuple[LiveRoute, list[str]]:
    """The live route to use or to make, and lines for people about what is not as they might expect.

    marks: for a new route; one that is there keeps its own.

    Raises ProcrouteError where the adapter, a given gateway or the name servers are unfit, or where other
    people's rules or tables are in the way.
    """
    machine, identity = observed.machine, kernel.identity
    adapter = choose.find(machine, request.adapter)
    route = asked_for(adapter, request)
    live = next((t for t in observed.ours.targets if t.route == route), None)
    if live is not None:
        choose.check_same(machine, live, adapter)
    if marks is Marks.PACKETS and live is None:
        choose.check_without_bpf(adapter)
    meant, own = kept.taken_in(machine, adapter, live or LiveRoute(route, 0, marks=marks))
    try:
        notes = choose.check_ways(machine, meant)
    except ProcrouteError as e:
        if e.code != "gateway-unknown":
            raise
        entries = kernel.entries_of(*choose.tables_of_others(machine))
        raise choose.with_gateways_seen(e, adapter, entries) from None
    overlap.check(identity, machine)
    asked = lookups.lookups(machine, meant, own.addresses)
    number = live.number if live else _free_number(identity, observed, kernel)
    live = replace(meant, number=number, servers=asked.servers, no_lookups=asked.refused)
    new = {identity.table, identity.route_table(live.number)}
    new |= {identity.adapter_table_of(a.ifindex) for a in machine.outward() if a.addresses}
    overlap.check_entries(identity, kernel.entries_of(*sorted(new)))
    return live, [*notes, *asked.notes]


def asked_for(adapter: Adapter, request: Request) -> Route:
    """The route that these words mean. Raises ProcrouteError gateway-bad."""
    gateway6 = _without_zone(adapter, request.gateway6)
    return Route(adapter.name, request.strict, request.gateway4, gateway6, request.dns)


def _without_zone(adapter: Adapter, gateway: IPv6Address | None) -> IPv6Address | None:
    """The gateway alone. Raises ProcrouteError gateway-bad where its zone is another adapter."""
    zone = gateway and gateway.scope_id
    if gateway is None or zone is None:
        return gateway
    if zone not in (adapter.name, *adapter.altnames, str(adapter.ifindex)):
        raise ProcrouteError(
            "gateway-bad",
            f"gateway {gateway} is one on {zone}, not on {adapter.name}",
            f"--via {zone}, or the gateway without %{zone}",
        )
    return IPv6Address(int(gateway))


def _free_number(identity: Identity, observed: Observed, kernel: Kernel) -> int:
    """A number that no route has, nor a rule or table of one that is being removed, nor a socket of one.

    One that only closed connections carry (TIME_WAIT) where there is no other.
    """
    taken = {t.number for t in observed.ours.targets}
    taken |= {identity.number(r.mark) for r in observed.ours.rules}
    taken |= {e.table - identity.table for e in observed.ours.entries}
    carried, closing = kernel.carried()
    taken |= carried
    free = next((n for n in identity.numbers if n not in taken | closing), None)
    free = free or next((n for n in identity.numbers if n not in taken), None)
    if free is None:
        raise ProcrouteError(
            "routes-exhausted",
            f"all {len(identity.numbers)} routes are in use",
            "end some, or what still has connections of one; or give [identity] mark_mask more bits",
        )
    return free
