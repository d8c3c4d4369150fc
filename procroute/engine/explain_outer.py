"""Finds who carries what goes into a tunnel: the kernel's WireGuard, or whoever has the tun device open."""

from __future__ import annotations

from collections.abc import Iterable

from procroute.core.explain_case import Case
from procroute.core.explain_outer import Outer, below
from procroute.core.machine import Observed
from procroute.engine.words import describe
from procroute.errors import ProcrouteError
from procroute.kernel import records, tun_owners, wireguard
from procroute.kernel.linux import Linux
from procroute.model import Adapter, LiveRoute


def outers(linux: Linux, observed: Observed, case: Case, ifindexes: Iterable[int]) -> list[Outer]:
    """The tunnels among adapters, each with the one below it, as far as they are tunnels."""
    found: dict[int, Outer] = {}
    left = list(dict.fromkeys(ifindexes))
    while left:
        adapter = observed.machine.of_index(left.pop(0))
        if adapter is None or adapter.ifindex in found:
            continue
        outer = _outer(linux, observed, adapter)
        if outer is not None:
            found[adapter.ifindex] = outer
            left.append(below(case, outer))
    return list(found.values())


def _outer(linux: Linux, observed: Observed, adapter: Adapter) -> Outer | None:
    if adapter.kind == "wireguard":
        carrying = (t for t in observed.ours.targets if adapter.ifindex in dict(t.tunnels))
        live = next(carrying, None)
        try:
            port = dict(live.tunnels)[adapter.ifindex] if live else wireguard.port(adapter.ifindex)
        except ProcrouteError:
            port = 0
        return Outer(adapter.ifindex, live, port=port)
    if adapter.kind != "tun":
        return None
    owners = tun_owners.owners([adapter.name])[adapter.name]
    if not owners:
        return None
    return Outer(adapter.ifindex, _route_of(linux, owners[0]), describe(owners[0]))


def _route_of(linux: Linux, pid: int) -> LiveRoute | None:
    """The route that a process is on: the nearest target around it."""
    try:
        place = linux.mount / linux.cgroup_mount.of(pid).lstrip("/")
    except OSError:
        return None
    everybodys = [*records.targets(linux.mount, linux.namespace), *linux.further_targets()]
    around = [t for t in everybodys if t.identity == linux.identity and place.is_relative_to(t.path)]
    return max(around, key=lambda t: len(t.path.parts)).live if around else None
