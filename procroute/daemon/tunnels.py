"""Keeps the outer packets of tunnels on their routes, as `over` of `[adapter.NAME]` says.

Whoever speaks for a tun device is put on the route as a route rule would: from his start on where the
configuration says who that is (core/outer.py), else as soon as he has the device open. WireGuard of the
kernel sends by itself: ip rules tell its packets by their port (docs/decisions/0016-tunnels.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from procroute.core.access import Peer
from procroute.core.machine import Machine, Observed
from procroute.core.moving import LISTENING
from procroute.core.outer import is_label, label, unfit
from procroute.daemon.assigning import Assigning
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.register import Register
from procroute.daemon.routes import OpenRoute, Routes
from procroute.engine.lock import lock, patient
from procroute.engine.reconcile import reconcile
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.identity import CONFIG_FILE
from procroute.kernel import adapters, tun_owners, wireguard
from procroute.kernel.linux import Linux
from procroute.model import Adapter, LiveRoute
from procroute.protocol import Assign, Wanted
from procroute.terminal import printable
from procroute.tunnels import Tunnel

_ROOT = Peer(0, 0, "root")
_NOT_MEANT = frozenset({"other-namespace", "process-unknown"})
"""Errors of who ends meanwhile, or only has a device of that name elsewhere."""

_Kernels = tuple[int, int]
"""A tunnel of the kernel's: ifindex and UDP port (LiveRoute.tunnels)."""


class Tunnels:
    """In the writer's thread. Takes the lock itself."""

    def __init__(
        self,
        linux: Linux,
        routes: Routes,
        register: Register,
        assigning: Assigning,
        letting_go: LettingGo,
        tell: Tell,
    ) -> None:
        self._linux = linux
        self._routes = routes
        self._register = register
        self._assigning = assigning
        self._letting_go = letting_go
        self._tell = tell
        self._owners: dict[str, list[int]] = {}
        self._devices: Mapping[str, str] = {}
        self._taken: Mapping[str, OpenRoute] = {}
        self._ways: dict[int, tuple[int, bool]] = {}
        self._moved: set[int] = set()

    @property
    def tunnels(self) -> Mapping[str, Tunnel]:
        """Those that are configured, by name."""
        return self._routes.settings.tunnels

    def keep(self) -> list[str]:
        """Have it so now, and what was so for others no more; lines on what cannot be."""
        self._follow_switches()
        routes, notes = self._opened()
        self._routes.outer = frozenset(found.live.number for found in routes.values())
        self._let_go(routes)
        machine = Machine(adapters=adapters.read(self._linux.netlink))
        there = {name: a for name in self.tunnels if (a := machine.adapter(name)) is not None}
        fit: dict[str, Adapter] = {}
        for name, adapter in there.items():
            if name not in routes:
                continue
            if why := unfit(adapter, machine.members(routes[name].live), self.tunnels[name].over):
                notes.append(f"{self.tunnels[name].place}: {why}")
            else:
                fit[name] = adapter
        wanted = self._kernels({n: a for n, a in fit.items() if a.kind == "wireguard"}, routes, notes)
        try:
            self._carry(wanted)
        except ProcrouteError as e:
            notes.append(f"{CONFIG_FILE}: tunnels of the kernel's: {e.message}")
        self._follow_switches()
        self._devices, self._taken = {name: a.name for name, a in fit.items() if a.kind == "tun"}, routes
        if not all(self._are_still(self._owners.get(d, []), d) for d in self._devices.values()):
            self._find_owners()
        return list(map(printable, notes + self._place()))

    @property
    def can_be_handed_on(self) -> bool:
        """Whether there are tun devices, which a process can hand to another one with no news of it."""
        return bool(self._devices)

    def seek(self) -> list[str]:
        """Put on their routes who has been handed a tun device since; lines on who cannot be."""
        self._find_owners()
        return list(map(printable, self._place()))

    def _find_owners(self) -> None:
        self._owners = tun_owners.owners(set(self._devices.values()))

    def _opened(self) -> tuple[dict[str, OpenRoute], list[str]]:
        """The routes that tunnels are over, by tunnel; why others cannot be, or nothing leaves by them."""
        routes, notes = {}, []
        for name, each in self.tunnels.items():
            try:
                with lock(patient(self._tell)):
                    routes[name], _ = self._routes.open(
                        replace(self._routes.meant(Wanted(via=each.over)), absent=True)
                    )
                why = self._routes.lacking(routes[name])
            except ProcrouteError as e:
                why = e.message
            if why:
                notes.append(f"{each.place}: {name} is over {each.over}: {why}")
        return routes, notes

    def _kernels(
        self, devices: Mapping[str, Adapter], routes: Mapping[str, OpenRoute], notes: list[str]
    ) -> dict[int, tuple[_Kernels, ...]]:
        """By the routes' numbers, the kernel's tunnels that take them; in `notes`: why others do not."""
        found: dict[int, tuple[_Kernels, ...]] = {}
        for name, adapter in devices.items():
            try:
                port = wireguard.port(adapter.ifindex)
            except ProcrouteError as e:
                notes.append(f"{self.tunnels[name].place}: {name}: {e.message}")
                continue
            number = routes[name].live.number
            found[number] = (*found.get(number, ()), (adapter.ifindex, port))
        return found

    def _carry(self, wanted: Mapping[int, tuple[_Kernels, ...]]) -> None:
        """Have these tunnels of the kernel's take these routes, and no others any. Raises ProcrouteError."""

        def tunnels(live: LiveRoute) -> tuple[_Kernels, ...]:
            return wanted.get(live.number, ())

        def routes(now: Observed) -> list[LiveRoute]:
            return [replace(live, tunnels=tunnels(live)) for live in now.alive()]

        with lock(patient(self._tell)):
            lives = [found.live for found in self._routes.all()]
            changed = [live for live in lives if live.tunnels != tunnels(live)]
            if not changed:
                return
            reconcile(self._linux, self._linux.identity, routes)
            self._routes.refresh()
        concerned = (one for live in changed for one in (*live.tunnels, *tunnels(live)))
        self._look_anew(sorted({ifindex for ifindex, _ in concerned}))

    def _follow_switches(self) -> None:
        """Have tunnels of the kernel's notice where their route leaves by another adapter."""
        if not any(found.live.tunnels for found in self._routes.all()):
            return
        with lock(patient(self._tell)):
            self._routes.refresh()
        for live in (found.live for found in self._routes.all()):
            way = (live.ifindex, live.by_main)
            if live.tunnels and self._ways.get(live.number, way) != way:
                self._look_anew([ifindex for ifindex, _ in live.tunnels])
            self._ways[live.number] = way

    def _look_anew(self, ifindexes: Iterable[int]) -> None:
        for ifindex in ifindexes:
            with contextlib.suppress(ProcrouteError):  # it has gone
                wireguard.forget_ways(ifindex)
                self._moved.add(ifindex)

    def moved(self) -> frozenset[int]:
        """The ifindexes of the kernel's tunnels that take another way since this was asked last."""
        found, self._moved = frozenset(self._moved), set()
        return found

    def look_anew(self, ifindexes: Iterable[int]) -> None:
        """Have tunnels of the kernel's look for their ways and sources once more.

        What their peers had sent on the old way has come since, and has told them of its address.
        """
        self._look_anew(ifindexes)
        self._moved.clear()

    def _place(self) -> list[str]:
        """Put on its route who speaks for a tun device; lines on who cannot be."""
        notes, routes = [], self._taken
        speaks_for: dict[int, str] = {}
        for name, device in self._devices.items():
            owners = self._owners.get(device, [])
            both = next((pid for pid in owners if speaks_for.setdefault(pid, name) != name), None)
            if both is not None:
                other = speaks_for[both]
                if routes[other].live.number != routes[name].live.number:
                    notes.append(f"{self.tunnels[name].place}: {describe(both)} speaks for {other} as well")
                continue
            pids = self._astray(owners, routes[name])
            if not pids:
                continue
            asked = Assign(Wanted(via=self.tunnels[name].over), pids, existing="reset", servers=True)
            try:
                left = self._assigning.assign(_ROOT, asked, label(name)).moved.left
                told = [f"{number} {why}" for why, number in left.items() if why != LISTENING]
                if told:
                    said = f"left as they are of the sockets of {describe(pids[0])}: {', '.join(told)}"
                    notes.append(f"{self.tunnels[name].place}: {name}: {said}")
            except OSError:
                continue  # it has ended
            except ProcrouteError as e:
                if e.code not in _NOT_MEANT:
                    notes.append(f"{self.tunnels[name].place}: {name}: {e.message}")
        return notes

    @staticmethod
    def _are_still(pids: Collection[int], device: str) -> bool:
        return bool(pids) and all(tun_owners.has_open(pid, device) for pid in pids)

    def _astray(self, pids: Collection[int], found: OpenRoute) -> list[int]:
        """Those that are not on a route yet; whom a person has put on another one stays there."""
        found_astray = []
        for pid in pids:
            try:
                before = self._register.now_around(self._linux.cgroup_mount.of(pid))
            except OSError:
                continue
            if before is None or (before.how == "rule" and before.route != found.live.route.name):
                found_astray.append(pid)
        return found_astray

    def _let_go(self, routes: Mapping[str, OpenRoute]) -> None:
        """Give back who was placed for a tunnel that has no such route any more."""
        asked_for = {said: name for name, each in self.tunnels.items() for said in (label(name), each.place)}
        for one in self._register.known():
            if not (is_label(one.rule) or one.rule.startswith(f"{CONFIG_FILE}:")):
                continue
            name = asked_for.get(one.rule)
            if name is not None and (name not in routes or routes[name].live.route.name == one.route):
                continue  # where its route cannot be now it stays where it is
            try:
                with lock(patient(self._tell)):
                    self._letting_go.let_go(one, "reset")
            except (ProcrouteError, OSError) as e:
                self._tell(f"assignment {one.id} could not be let go: {e}")
