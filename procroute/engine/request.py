"""What somebody asks of `run`, and the route that it becomes on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct
from msgspec.structs import replace

from procroute import route_words
from procroute.core import choose, failover, lookups, overlap
from procroute.core.machine import Machine, Observed
from procroute.core.nearest import nearest
from procroute.core.overview import Servers
from procroute.engine import kept
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel.interface import Kernel
from procroute.model import HOLD, Adapter, IPAddress, LiveRoute, Marks, OnDown, Route
from procroute.terminal import printable


class Request(Struct, frozen=True):
    """A command and how it is to leave. adapter: one or several with commas between, or a name of the
    configuration's. dns and inbound as in Route, on_down, reset and hold, too; None: as the name of the
    configuration's has it, else as by default. user: a name or uid; None: whoever called. absent: the route
    may be there before its adapters, or before these have an address or gateway: until then nothing leaves by
    it.

    gateway6: its zone (RFC 4007, `%wan1`), where it has one, says again which adapter is meant.
    """

    command: Sequence[str]
    adapter: str
    strict: bool = False
    gateway4: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPAddress, ...] | None = None
    user: str | None = None
    on_down: OnDown | None = None
    reset: bool | None = None
    hold: float | None = None
    inbound: bool = False
    absent: bool = False


def named(request: Request, routes: Mapping[str, Route]) -> Request:
    """A request whose `adapter` may be a name of the configuration's, by what that stands for.

    routes: those of the configuration. What is given with the request goes before what the name has.
    """
    meant = routes.get(request.adapter)
    if meant is None:
        return request
    return replace(
        request,
        adapter=",".join(meant.adapters),
        strict=request.strict or meant.strict,
        gateway4=request.gateway4 or meant.gateway4,
        gateway6=request.gateway6 or meant.gateway6,
        dns=meant.dns if request.dns is None else request.dns,
        on_down=request.on_down or meant.on_down,
        reset=meant.reset if request.reset is None else request.reset,
        hold=meant.hold if request.hold is None else request.hold,
        inbound=request.inbound or meant.inbound,
    )


def with_routes(error: ProcrouteError, asked: str, routes: Iterable[str]) -> ProcrouteError:
    """The error adapter-unknown, its hint with the names of the configuration's routes; another as it is.

    asked: what was asked for instead.
    """
    known = sorted(routes)
    if error.code != "adapter-unknown" or not known:
        return error
    meant = " or ".join(nearest(asked, known))
    hint = f"did you mean the route {printable(meant)}? {error.hint}" if meant else error.hint
    return ProcrouteError(error.code, error.message, f"{hint}; routes: {printable(', '.join(known))}")


def route_for(
    kernel: Kernel, observed: Observed, request: Request, marks: Marks = Marks.SOCKETS
) -> tuple[LiveRoute, list[str]]:
    """The live route to use or to make, and lines for people about what is not as they might expect.

    marks: for a new route; one that is there keeps its own.

    Raises ProcrouteError where the adapter, a given gateway or the name servers are unfit, or where other
    people's rules or tables are in the way.
    """
    machine, identity = observed.machine, kernel.identity
    route = asked_for(machine, request)
    if request.absent:  # opened by another name of an adapter that was not there yet, it is the same
        by_words = asked_for(Machine(), request)
        route = next((t.route for t in observed.ours.targets if t.route == by_words), route)
    live = next((t for t in observed.ours.targets if t.route == route), None)
    for name in route.adapters:
        choose.check(machine, route, name, live, marks, absent=request.absent)
    meant, adapter, own = _with_way(machine, live or LiveRoute(route, 0, marks=marks))
    try:
        notes = failover.passed_over(machine, meant)
        if request.absent and (why := choose.missing(machine, meant)):
            notes.append(f"{why}: nothing leaves by {route.name} until that comes")
        else:
            notes += choose.check_ways(machine, meant, absent=request.absent)
    except ProcrouteError as e:
        if e.code != "gateway-unknown" or adapter is None:
            raise
        entries = kernel.entries_of(*choose.tables_of_others(machine))
        raise choose.with_gateways_seen(e, adapter, entries) from None
    overlap.check(identity, machine)
    asked = lookups.Lookups() if meant.by_main else lookups.lookups(machine, meant, own.addresses)
    number = live.number if live else _free_number(identity, observed, kernel)
    live = replace(meant, number=number, servers=asked.servers, no_lookups=asked.refused)
    new = {identity.table, identity.route_table(live.number)}
    new |= {identity.adapter_table_of(a.ifindex) for a in machine.outward() if a.addresses}
    overlap.check_entries(identity, kernel.entries_of(*sorted(new)))
    return live, [*notes, *asked.notes]


def _with_way(machine: Machine, live: LiveRoute) -> tuple[LiveRoute, Adapter | None, Servers]:
    """A route with the way that it takes now and what is kept for its adapters beside main; the adapter that
    it leaves by, or would, with its name servers; None: that is not there."""
    servers = {}
    for adapter in machine.members(live):
        live, servers[adapter.ifindex] = kept.taken_in(machine, adapter, live)
    live = failover.chosen(machine, live)
    way = machine.adapter_of(live) or machine.adapter(live.route.adapter)
    return live, way, servers.get(way.ifindex, Servers()) if way is not None else Servers()


def asked_for(machine: Machine, request: Request) -> Route:
    """The route that these words mean: its adapters by their first names, as far as they are there.

    Raises ProcrouteError adapter-unknown where none of them is and the request asks for one, gateway-bad and
    usage.
    """
    try:
        words = (
            [request.adapter] if machine.adapter(request.adapter) else route_words.adapters(request.adapter)
        )
    except ValueError as e:
        raise ProcrouteError(
            "usage", str(e), "--via wg0,wan1: the next one where those before are down"
        ) from e
    there = [machine.adapter(word) for word in words]
    first = next((a for a in there if a is not None), None)
    if first is None and not request.absent:
        first = choose.known(machine, words[0])
    names = [word if a is None else a.name for a, word in zip(there, words, strict=True)]
    if len(set(names)) < len(names):
        raise ProcrouteError("usage", f"{request.adapter}: two of these are the same adapter", "name it once")
    if len(names) > 1 and (request.gateway4 or request.gateway6):
        what = "a gateway is one adapter's, and this route has several"
        raise ProcrouteError("gateway-bad", what, "leave it out, or name one adapter")
    if request.strict and request.on_down is OnDown.MAIN:
        raise ProcrouteError(
            "usage", "a strict route cannot leave by the machine's own way", "on_down = next, or not strict"
        )
    if request.strict and request.inbound:
        raise ProcrouteError(
            "usage", "on a strict route nobody is answered by another adapter", "leave out strict or inbound"
        )
    return Route(
        names[0],
        request.strict,
        request.gateway4,
        _without_zone(first or Adapter(words[0], 0), request.gateway6),
        request.dns,
        tuple(names[1:]),
        request.on_down,
        bool(request.reset),
        HOLD if request.hold is None else request.hold,
        request.inbound,
    ).plain


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
