"""Keeps the outer packets of tunnels on their routes, as `over` of `[adapter.NAME]` says.

Whoever speaks for a tun device is put on the route as a route rule would: from his start on where the
configuration says who that is (core/outer.py), else as soon as he has the device open. WireGuard of the
kernel sends by itself: ip rules tell its packets by their port (docs/decisions/0016-tunnels.md).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from procroute.core.access import Peer
from procroute.core.machine import Machine
from procroute.core.moving import LISTENING
from procroute.core.outer import is_label, label, unfit
from procroute.daemon.assigning import Assigning
from procroute.daemon.kernel_tunnels import KernelTunnel, KernelTunnels
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.register import Register
from procroute.daemon.routes import OpenRoute, Routes
from procroute.daemon.undone import Undone
from procroute.engine.lock import lock, patient
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.identity import CONFIG_FILE
from procroute.kernel import adapters, cgroups, tun_owners, wireguard
from procroute.kernel.linux import Linux
from procroute.model import Adapter
from procroute.protocol import Assign, Wanted
from procroute.terminal import printable
from procroute.tunnels import Tunnel

_ROOT = Peer(0, 0, "root")
_NOT_MEANT = frozenset({"other-namespace", "process-unknown"})
"""Errors of who ends meanwhile, or only has a device of that name elsewhere."""


class Tunnels:
    """In the writer's thread. Takes the lock itself. kernels: the kernel's among them."""

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
        self.kernels = KernelTunnels(linux, routes, tell)
        self._owners: dict[str, list[int]] = {}
        self._devices: Mapping[str, str] = {}
        self._taken: Mapping[str, OpenRoute] = {}
        self._undone = Undone()

    @property
    def tunnels(self) -> Mapping[str, Tunnel]:
        """Those that are configured, by name."""
        return self._routes.settings.tunnels

    def keep(self) -> Undone:
        """Have it so now, and what was so for others no more; what cannot be."""
        return self._tried(self._keep)

    def _tried(self, work: Callable[[], None]) -> Undone:
        self._undone = Undone()
        try:
            work()
        except (ProcrouteError, OSError) as e:
            self._undone.add(f"{CONFIG_FILE}: tunnels", e)
        self._undone.lines = list(map(printable, self._undone.lines))
        return self._undone

    def _keep(self) -> None:
        self.kernels.follow_switches()
        routes = self._opened()
        self._routes.outer = frozenset(found.live.number for found in routes.values())
        self._let_go()
        machine = Machine(adapters=adapters.read(self._linux.netlink))
        there = {name: a for name in self.tunnels if (a := machine.adapter(name)) is not None}
        fit: dict[str, Adapter] = {}
        for name, adapter in there.items():
            if name not in routes:
                continue
            if why := unfit(adapter, machine.members(routes[name].live), self.tunnels[name].over):
                self._undone.lines.append(f"{self.tunnels[name].place}: {why}")
            else:
                fit[name] = adapter
        wanted = self._kernels({n: a for n, a in fit.items() if a.kind == "wireguard"}, routes)
        # Where its route cannot be opened now, a tunnel stays where it is: nothing leaves by main.
        staying = {a.ifindex for name, a in there.items() if name not in routes}
        try:
            self.kernels.carry(wanted, staying)
        except (ProcrouteError, OSError) as e:
            self._undone.add(f"{CONFIG_FILE}: tunnels of the kernel's", e)
        self.kernels.follow_switches()
        tuns = {name: there[name].name if name in there else "" for name in routes}
        self._taken = routes
        self._devices = {n: t for n, t in tuns.items() if not t or (n in fit and fit[n].kind == "tun")}
        if not all(self._are_still(self._owners.get(d, []), d) for d in self._devices.values() if d):
            self._find_owners()
        self._place()

    @property
    def can_be_handed_on(self) -> bool:
        """Whether there are tun devices, which a process can hand to another one with no news of it."""
        return any(self._devices.values())

    def seek(self) -> Undone:
        """Put on their routes who has been handed a tun device since; what cannot be."""

        def seek() -> None:
            self._find_owners()
            self._place()

        return self._tried(seek)

    def _find_owners(self) -> None:
        self._owners = tun_owners.owners({device for device in self._devices.values() if device})

    def _opened(self) -> dict[str, OpenRoute]:
        """The routes that tunnels are over, by tunnel, but for those that cannot be opened."""
        routes: dict[str, OpenRoute] = {}
        for name, each in self.tunnels.items():
            try:
                with lock(patient(self._tell)):
                    routes[name], _ = self._routes.open(
                        replace(self._routes.meant(Wanted(via=each.over)), absent=True)
                    )
                if why := self._routes.lacking(routes[name]):
                    self._undone.lines.append(f"{each.place}: {name} is over {each.over}: {why}")
            except (ProcrouteError, OSError) as e:
                self._undone.add(f"{each.place}: {name} is over {each.over}", e)
        return routes

    def _kernels(
        self, devices: Mapping[str, Adapter], routes: Mapping[str, OpenRoute]
    ) -> dict[int, tuple[KernelTunnel, ...]]:
        """By the routes' numbers, the kernel's tunnels that take them."""
        found: dict[int, tuple[KernelTunnel, ...]] = {}
        for name, adapter in devices.items():
            try:
                port = wireguard.port(adapter.ifindex)
            except ProcrouteError as e:
                self._undone.add(f"{self.tunnels[name].place}: {name}", e)
                continue
            number = routes[name].live.number
            found[number] = (*found.get(number, ()), (adapter.ifindex, port))
        return found

    def _place(self) -> None:
        """Put on its route who speaks for a tun device, or did."""
        routes = self._taken
        speaks_for: dict[int, str] = {}
        for name, device in self._devices.items():
            owners = self._owners.get(device, [])
            both = next((pid for pid in owners if speaks_for.setdefault(pid, name) != name), None)
            if both is not None:
                other = speaks_for[both]
                if routes[other].live.number != routes[name].live.number:
                    place = self.tunnels[name].place
                    self._undone.lines.append(f"{place}: {describe(both)} speaks for {other} as well")
                continue
            pids = self._astray({*owners, *self._placed_for(name)}, routes[name])
            if not pids:
                continue
            asked = Assign(Wanted(via=self.tunnels[name].over), pids, existing="reset", servers=True)
            try:
                left = self._assigning.assign(_ROOT, asked, label(name)).moved.left
                told = [f"{number} {why}" for why, number in left.items() if why != LISTENING]
                if told:
                    said = f"left as they are of the sockets of {describe(pids[0])}: {', '.join(told)}"
                    self._undone.lines.append(f"{self.tunnels[name].place}: {name}: {said}")
            except OSError as e:
                if e.errno != errno.ESRCH:  # it has ended
                    self._undone.add(f"{self.tunnels[name].place}: {name}", e)
            except ProcrouteError as e:
                if e.code not in _NOT_MEANT:
                    self._undone.add(f"{self.tunnels[name].place}: {name}", e)

    @staticmethod
    def _are_still(pids: Collection[int], device: str) -> bool:
        return bool(pids) and all(tun_owners.has_open(pid, device) for pid in pids)

    def _astray(self, pids: Collection[int], found: OpenRoute) -> list[int]:
        """Those that are not on a route yet, or were left there by a daemon that died before it could note
        why; whom a person has put on another one stays there."""
        found_astray = []
        for pid in sorted(pids):
            try:
                before = self._register.now_around(self._linux.cgroup_mount.of(pid))
            except OSError:
                continue
            there = before is not None and before.route == found.live.route.name and before.rule
            if before is None or (before.how == "rule" and not there):
                found_astray.append(pid)
        return found_astray

    def _placed_for(self, name: str) -> set[int]:
        """Who was placed for a tunnel, whether he has its device open now or not."""
        words = (label(name), self.tunnels[name].place)
        paths = [self._register.path(one.cgroup) for one in self._register.known() if one.rule in words]
        return {pid for path in paths for pid, _ in cgroups.processes(path) if pid}

    def _let_go(self) -> None:
        """Give back who was placed for a tunnel that is over no route any more.

        Others stay, though their route cannot be now or is another one: they are moved there from where they
        are, so that nothing leaves by main meanwhile.
        """
        asked_for = {said for name, each in self.tunnels.items() for said in (label(name), each.place)}
        for one in self._register.known():
            if one.rule in asked_for or not (is_label(one.rule) or one.rule.startswith(f"{CONFIG_FILE}:")):
                continue
            try:
                with lock(patient(self._tell)):
                    self._letting_go.let_go(one, "reset")
            except (ProcrouteError, OSError) as e:
                self._undone.add(f"assignment {one.id} of {one.rule}", e)
