"""What carries the packets that go into a tunnel: the layer below the way that was explained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from procroute.core.explain_case import Case
from procroute.core.gateways import NoWay, way_out
from procroute.core.tables import families
from procroute.model import LiveRoute
from procroute.protocol import Finding


class Outer(Struct, frozen=True):
    """The outer packets of a tunnel. ifindex: the tunnel's. live: the route that they take.

    None: no route of ours. who: that sends them, in words; empty: the kernel's WireGuard, from `port`.
    """

    ifindex: int
    live: LiveRoute | None = None
    who: str = ""
    port: int = 0


def tunnels(case: Case, outers: Iterable[Outer]) -> Iterator[Finding]:
    """A finding for each, in their order: who sends, by what, and how that is known."""
    for outer in outers:
        name = case.name(outer.ifindex)
        who = outer.who or "the kernel's WireGuard"
        said = f"{name} is a tunnel, whose outer packets are sent by {who}"
        yield Finding("tunnel", f"{said}: {_way(case, outer)}")


def below(case: Case, outer: Outer) -> int:
    """The ifindex of the adapter that outer packets leave by, where that is a route of ours; 0: none."""
    adapter = None if outer.live is None or outer.live.by_main else case.machine.adapter_of(outer.live)
    return 0 if adapter is None else adapter.ifindex


def _way(case: Case, outer: Outer) -> str:
    live = outer.live
    if live is None:
        return "by the machine's own way"
    known = (
        f"known by UDP port {outer.port}" if not outer.who else f"mark {case.identity.mark(live.number):#x}"
    )
    table = f"table {case.identity.route_table(live.number)}"
    over = f"(over {live.route.name}, {known}, {table})"
    if live.by_main:
        return f"by the machine's own way {over}"
    adapter = case.machine.adapter_of(live)
    if adapter is None:
        return f"nowhere: {live.route.adapter} is not there {over}"
    ways = [way_out(case.machine, adapter, family, live) for family in families(case.machine)]
    if all(isinstance(way, NoWay) for way in ways):
        reason = next(way.reason for way in ways if isinstance(way, NoWay))
        return f"nowhere: {adapter.name} has {reason} {over}"
    return f"by {adapter.name} {over}"
