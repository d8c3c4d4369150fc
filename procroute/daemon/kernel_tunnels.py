"""Tunnels of the kernel's on their routes: WireGuard, whose packets ip rules tell by their port.

Sources: docs/decisions/0016-tunnels.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from procroute.core.machine import Observed
from procroute.daemon.routes import Routes
from procroute.engine.lock import lock, patient
from procroute.engine.reconcile import reconcile
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import wireguard
from procroute.kernel.linux import Linux
from procroute.model import LiveRoute

KernelTunnel = tuple[int, int]
"""Ifindex and UDP port (LiveRoute.tunnels)."""


class KernelTunnels:
    """In the writer's thread. Takes the lock itself."""

    def __init__(self, linux: Linux, routes: Routes, tell: Tell) -> None:
        self._linux = linux
        self._routes = routes
        self._tell = tell
        self._ways: dict[int, tuple[int, bool]] = {}
        self._moved: set[int] = set()

    def carry(self, wanted: Mapping[int, tuple[KernelTunnel, ...]], staying: Collection[int]) -> None:
        """Have these tunnels of the kernel's take these routes, and no others any, but for those that stay
        where they are, by their ifindexes. Raises ProcrouteError."""

        def tunnels(live: LiveRoute) -> tuple[KernelTunnel, ...]:
            return (*wanted.get(live.number, ()), *(one for one in live.tunnels if one[0] in staying))

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

    def follow_switches(self) -> None:
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

    def _look_anew(self, ifindexes: Iterable[int]) -> None:
        for ifindex in ifindexes:
            with contextlib.suppress(ProcrouteError):  # it has gone
                wireguard.forget_ways(ifindex)
                self._moved.add(ifindex)
