"""What `procroute status` tells: each route, what runs on it and what it carried, what cannot be promised."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from procroute.core.limits import Limit
from procroute.core.machine import Machine
from procroute.core.overview import Way, ways
from procroute.core.route_names import named
from procroute.core.traffic import Traffic
from procroute.identity import Identity
from procroute.model import Adapter, Family, LiveRoute, Route


class Process(Struct, frozen=True):
    """A process as people know it. pid 0: it cannot be seen from here. command: its words."""

    pid: int
    name: str = ""
    user: str = ""
    command: tuple[str, ...] = ()


class Assignment(Struct, frozen=True):
    """A command or unit below a target. cgroup: its path from the mount point."""

    name: str
    cgroup: str
    processes: tuple[Process, ...] = ()


class Counted(Struct, frozen=True):
    """What is read of a route in the kernel. drops: packets that the guard dropped, by ifindex; lost: packets
    that had lost the mark of their socket, None where nobody counts them."""

    live: LiveRoute
    in_use: bool = True
    assignments: tuple[Assignment, ...] = ()
    traffic: Traffic = Traffic()
    drops: Mapping[int, int] = {}
    lost: int | None = None


class RouteView(Struct, frozen=True):
    """A route as people look at it. named: what the configuration calls it; empty: it has no name for it.

    adapter: its name now; empty: the machine's own way. state: of that; dead: up, but its checks have found
    it down; gone, or main. in_use: not so, when a killed engine left it. lost: as in Counted. tunnels: the
    names of the kernel's that send their outer packets by it.
    """

    live: LiveRoute
    adapter: str
    mark: int
    table: int
    in_use: bool
    state: str
    ways: Mapping[Family, Way]
    assignments: tuple[Assignment, ...]
    traffic: Traffic
    drops: Mapping[str, int]
    lost: int | None
    tunnels: tuple[str, ...] = ()
    named: str = ""

    @property
    def called(self) -> str:
        """What people call it."""
        return self.named or self.live.route.name


class Status(Struct, frozen=True):
    """All of it. under_other_numbers: how many routes live that were made by another identity."""

    routes: tuple[RouteView, ...]
    limits: tuple[Limit, ...]
    under_other_numbers: int = 0


def status(
    identity: Identity,
    machine: Machine,
    counted: Collection[Counted],
    limits: Sequence[Limit],
    under_other_numbers: int = 0,
    routes: Mapping[str, Route] = {},
) -> Status:
    """The view of what was read; cgroups of one route are told together. routes: of the configuration."""
    by_number: dict[int, list[Counted]] = {}
    for each in sorted(counted, key=lambda c: c.live.number):
        by_number.setdefault(each.live.number, []).append(each)
    return Status(
        tuple(_route(identity, machine, found, routes) for found in by_number.values()),
        tuple(limits),
        under_other_numbers,
    )


def _route(
    identity: Identity, machine: Machine, found: Sequence[Counted], routes: Mapping[str, Route]
) -> RouteView:
    live = found[0].live
    adapter = None if live.by_main else machine.adapter_of(live)
    names = {a.ifindex: a.name for a in machine.adapters}
    drops: dict[str, int] = {}
    for each in found:
        for ifindex, packets in sorted(each.drops.items()):
            name = names.get(ifindex, f"adapter {ifindex}")
            drops[name] = drops.get(name, 0) + packets
    return RouteView(
        live=live,
        adapter=adapter.name if adapter is not None else "" if live.by_main else live.route.adapter,
        mark=identity.mark(live.number),
        table=identity.route_table(live.number),
        in_use=any(each.in_use for each in found),
        state=_state(machine, adapter) if adapter is not None else "main" if live.by_main else "gone",
        ways={} if adapter is None else ways(machine, adapter, [live]),
        assignments=tuple(a for each in found for a in each.assignments),
        traffic=sum((each.traffic for each in found), Traffic()),
        drops=drops,
        lost=found[0].lost,
        tunnels=tuple(names[ifindex] for ifindex, _ in live.tunnels if ifindex in names),
        named=named(live.route, routes),
    )


def _state(machine: Machine, adapter: Adapter) -> str:
    return "dead" if adapter.state == "up" and adapter.ifindex in machine.ailing else adapter.state
