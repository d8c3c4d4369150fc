"""The adapter that somebody asked for: found and fit, or refused with what would help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from procroute.core import given_gateway, unknown_adapter
from procroute.core.gateways import KERNEL_TUNNELS, NoWay, WayOut, way_out
from procroute.core.machine import Machine
from procroute.core.tables import families
from procroute.errors import ProcrouteError
from procroute.model import Adapter, Entry, Family, LiveRoute, Marks, Route

_MAINS: Final = frozenset({0, 253, 254, 255})  # none, default, main, local
_MAY_COME: Final = frozenset({"adapter-unknown", "adapter-down", "address-missing", "gateway-unknown"})
"""What a route may still lack that is there for when it comes."""


def find(machine: Machine, name: str) -> Adapter:
    """The adapter of a name or alternative name.

    Raises ProcrouteError adapter-unknown with what was probably meant and the candidates, or adapter-unfit.
    """
    adapter = known(machine, name)
    _check_whole(machine, adapter, name)
    if not adapter.up:
        raise ProcrouteError("adapter-down", f"adapter {name} is down", f"ip link set {name} up")
    if not adapter.carrier:
        raise ProcrouteError(
            "adapter-down", f"adapter {name} has no carrier", "is the cable or modem connected?"
        )
    return adapter


def check(
    machine: Machine,
    route: Route,
    name: str,
    live: LiveRoute | None,
    marks: Marks,
    *,
    absent: bool = False,
) -> None:
    """Whether an adapter can be one of a route's at all. live: the same route, where it is there; marks: of a
    new one; absent: it may be down or not there.

    Raises ProcrouteError as find; of a route that chooses, one that is down or not there is passed over.
    """
    if not route.chooses and not absent:
        adapter = find(machine, name)
    elif (found := machine.adapter(name)) is None:
        return
    else:
        adapter = found
        _check_whole(machine, adapter, name)
    if not route.chooses and live is not None:
        check_same(machine, live, adapter)
    if marks is Marks.PACKETS and live is None:
        check_without_bpf(adapter)
        if route.inbound:
            raise ProcrouteError(
                "kernel-option",
                "inbound needs cgroup BPF",
                "a kernel with CONFIG_CGROUP_BPF, or a route without it",
            )


def check_without_bpf(adapter: Adapter) -> None:
    """Raises ProcrouteError adapter-unfit for a tunnel that the kernel makes itself.

    What it wraps still is of the command's socket: nft would mark that again, and send it into the tunnel.
    """
    if adapter.kind in KERNEL_TUNNELS:
        raise ProcrouteError(
            "adapter-unfit",
            f"{adapter.name} is a tunnel of the kernel's ({adapter.kind}): without cgroup BPF nothing can be"
            " routed through it",
            "a kernel with CONFIG_CGROUP_BPF, without PROCROUTE_NO_BPF=1",
        )


def known(machine: Machine, name: str) -> Adapter:
    """The adapter of a name or alternative name, fit or not. Raises ProcrouteError adapter-unknown."""
    adapter = machine.adapter(name)
    if adapter is None:
        raise unknown_adapter.error(machine, name)
    return adapter


def _check_whole(machine: Machine, adapter: Adapter, name: str) -> None:
    """Raises ProcrouteError adapter-unfit for loopback, a part of another adapter, a VRF and a member of one.

    What arrives by a port goes to its bridge or bond; what arrives in a VRF only to sockets that are tied to
    it (kernel documentation, networking/vrf.rst).
    """
    if adapter.loopback:
        raise ProcrouteError("adapter-unfit", f"{name} is the loopback: nothing leaves there")
    vrf = adapter if adapter.kind == "vrf" else None
    master = next((a for a in machine.adapters if a.ifindex == adapter.master), None)
    if master is not None and master.kind == "vrf":
        vrf = master
    if vrf is not None:
        what = "is a VRF" if vrf is adapter else f"belongs to the VRF {vrf.name}"
        raise ProcrouteError(
            "adapter-unfit",
            f"{name} {what}: its answers go only to sockets that are tied to that",
            f"ip vrf exec {vrf.name} CMD",
        )
    if master is not None:
        raise ProcrouteError(
            "adapter-unfit",
            f"{name} is a part of {master.name}{f' ({adapter.member_of})' if adapter.member_of else ''}",
            f"--via {master.name}, or the adapter that has the address",
        )


def check_same(machine: Machine, live: LiveRoute, adapter: Adapter) -> None:
    """Raises ProcrouteError adapter-unfit where a route of this name leaves by another adapter."""
    present = machine.adapter_of(live)
    if present is not None and present.ifindex != adapter.ifindex:
        raise ProcrouteError(
            "adapter-unfit",
            f"the route {live.route.name} is in use by the adapter that was {adapter.name} before: it is"
            f" {present.name} now",
            "end what uses that route first",
        )


def missing(machine: Machine, live: LiveRoute) -> str:
    """What a route lacks, so that nothing leaves by it until that comes, in words; empty: nothing.

    Raises ProcrouteError gateway-bad for a given gateway that cannot be used.
    """
    try:
        check_ways(machine, live, absent=True)
    except ProcrouteError as e:
        if e.code not in _MAY_COME:
            raise
        return e.message
    return ""


def check_ways(machine: Machine, live: LiveRoute, *, absent: bool = False) -> list[str]:
    """What is not as people might expect, as lines: families that this route cannot use, where one is enough;
    a given gateway that is in no subnet of the adapter. absent: such a family may have a given gateway.

    Raises ProcrouteError address-missing or gateway-unknown when there is none, gateway-bad for a given
    gateway that cannot be used.
    """
    route = live.route
    if live.by_main:
        return []
    present = machine.adapter_of(live) if live.members else None
    adapter = find(machine, present.name if present is not None else route.adapter)
    ways = {f: way_out(machine, adapter, f, live) for f in families(machine)}
    for family, way in ways.items():
        gateway = route.gateway(family)
        if gateway is None:
            continue
        if isinstance(way, NoWay):
            if absent:
                continue
            raise ProcrouteError(
                "gateway-bad", f"gateway {gateway} is of no use: {adapter.name} has {way.reason}"
            )
        why = given_gateway.why_not(machine, adapter, gateway)
        if why is not None:
            raise ProcrouteError("gateway-bad", why, f"the router's address on the LAN of {adapter.name}")
    if not any(isinstance(w, WayOut) for w in ways.values()):
        raise _none(adapter, ways)
    lines = [
        f"{adapter.name} has {way.reason}: {family.title} is unreachable for this command"
        for family, way in ways.items()
        if isinstance(way, NoWay)
    ]
    given = [gateway for gateway in map(route.gateway, ways) if gateway is not None]
    return lines + [
        f"{gateway} is in no subnet of {adapter.name}; taken as directly reachable"
        for gateway in given
        if not given_gateway.on_link(machine, adapter, gateway)
    ]


def tables_of_others(machine: Machine) -> list[int]:
    """The tables that other people's ip rules lead to, besides main."""
    return sorted({r.target for r in machine.rules if r.action == "table"} - _MAINS)


def with_gateways_seen(error: ProcrouteError, adapter: Adapter, entries: Iterable[Entry]) -> ProcrouteError:
    """The error gateway-unknown, its hint naming the gateways that an adapter has in these entries."""
    seen = {
        e.family: f"--gateway{e.family.value} {h.gateway} (of table {e.table})"
        for e in entries
        for h in e.hops
        if e.destination == e.family.everything and h.ifindex == adapter.ifindex and h.gateway is not None
    }
    return ProcrouteError(error.code, error.message, f"give it: {' '.join(seen.values())}") if seen else error


def _none(adapter: Adapter, ways: dict[Family, WayOut | NoWay]) -> ProcrouteError:
    lacking = [f for f, w in ways.items() if isinstance(w, NoWay) and w.gateway_missing]
    if not lacking:
        return ProcrouteError(
            "address-missing", f"adapter {adapter.name} has no usable address", "is its DHCP or RA done?"
        )
    options = " or ".join(f"--gateway{f.value} ADDRESS" for f in lacking)
    return ProcrouteError("gateway-unknown", f"no gateway is known for {adapter.name}", f"give it: {options}")
