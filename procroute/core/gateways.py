"""Where an adapter's default leads, per family, and why it may lead nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from procroute.core.machine import Machine
from procroute.model import Adapter, Entry, Family, Hop, IPAddress, LiveRoute, Route

SCOPE_LINK = 253


class WayOut(Struct, frozen=True):
    """How a family leaves by an adapter. gateway None: the adapter needs none.

    model: main's own default for it, whose preferred source and metrics (MTU …) ours take over.
    """

    gateway: IPAddress | None
    model: Entry | None = None


class NoWay(Struct, frozen=True):
    """Why a family cannot leave by an adapter, in words that follow `wan1 has`."""

    reason: str
    gateway_missing: bool = False


def default_in_main(
    main: Iterable[Entry], adapter: Adapter, family: Family
) -> tuple[Entry, IPAddress | None] | None:
    """The best default that main has by this adapter, and its gateway; hops of a multipath default count.

    One for some sources only, where the adapter has such an address and there is none for all.
    """
    found = [
        (entry, hop.gateway)
        for entry in main
        if entry.destination == family.everything and entry.kind == "unicast"
        if entry.only_from is None or any(ip in entry.only_from for ip in adapter.usable(family))
        for hop in entry.hops
        if hop.ifindex == adapter.ifindex and (hop.gateway is None or hop.gateway.version == family.value)
    ]
    return min(found, key=lambda f: (f[0].only_from is not None, f[0].metric), default=None)


def way_out(machine: Machine, adapter: Adapter, family: Family, live: LiveRoute | None) -> WayOut | NoWay:
    """How a family leaves by an adapter: by a given gateway, main's, the last known, or without one.

    live: the route that asks; None for an adapter on its own.
    """
    if not adapter.up:
        return NoWay("been set down")
    if not adapter.carrier:
        return NoWay("no carrier")
    if not adapter.usable(family):
        return NoWay(f"no {family.title} address")
    given = live.route.gateway(family) if live else None
    if given is not None:
        return WayOut(given)
    found = default_in_main(machine.main, adapter, family)
    if found is not None and (found[1] is not None or adapter.tunnel):
        return WayOut(found[1], found[0])
    remembered = _still_on_link(live.last_known(family), adapter) if live else None
    if remembered is not None or adapter.tunnel:
        return WayOut(remembered)
    return NoWay(f"no {family.title} gateway", gateway_missing=True)


def _still_on_link(gateway: IPAddress | None, adapter: Adapter) -> IPAddress | None:
    """A remembered gateway, if it still fits: main loses its defaults when an adapter goes down."""
    if gateway is None:
        return None
    on_link = any(
        gateway in a.interface.network for a in adapter.addresses if a.interface.version == gateway.version
    )
    return gateway if on_link else None


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
    metrics = way.model.metrics if way.model else ()
    return Entry(0, family.everything, (hop,), scope=scope, source=source, metrics=metrics)


def _source(model: Entry, usable: Sequence[IPAddress]) -> IPAddress | None:
    """The preferred source of a default like main's: its own; or one that it is for, where others are not."""
    if model.source in usable:
        return model.source
    fitting = [ip for ip in usable if model.only_from is None or ip in model.only_from]
    return fitting[0] if fitting and len(fitting) < len(usable) else None


def gateways_of(machine: Machine, routes: Iterable[LiveRoute]) -> frozenset[tuple[int, IPAddress]]:
    """(ifindex, gateway) of all that these routes lead through or may again: given, main's, remembered."""
    found = set()
    for live in routes:
        adapter = machine.adapter(live.route.adapter)
        if adapter is None:
            continue
        in_main = (default_in_main(machine.main, adapter, f) for f in Family)
        candidates = (live.route.gateway4, live.route.gateway6, *live.known, *(d[1] for d in in_main if d))
        found |= {(adapter.ifindex, gateway) for gateway in candidates if gateway is not None}
    return frozenset(found)


def silent_gateways(machine: Machine, routes: Iterable[LiveRoute]) -> frozenset[tuple[int, IPAddress]]:
    """(ifindex, gateway) of what is written on these routes as not answering."""
    found = ((machine.adapter(live.route.adapter), live.silent) for live in routes)
    return frozenset((adapter.ifindex, g) for adapter, silent in found if adapter for g in silent)


def known_gateways(machine: Machine, route: Route) -> tuple[IPAddress, ...]:
    """What main says now, to be remembered. Router advertisements come again by themselves, so not theirs."""
    adapter = machine.adapter(route.adapter)
    if adapter is None:
        return ()
    found = (default_in_main(machine.main, adapter, f) for f in Family)
    return tuple(f[1] for f in found if f is not None and f[1] is not None and not f[1].is_link_local)
