"""The routes that the daemon cares for: opened for the first assignment, closed after the last connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from pathlib import Path

from msgspec import Struct

from procroute.config import Settings
from procroute.core.asking import wanted as asked_again
from procroute.core.machine import Observed
from procroute.engine.move import marks_given
from procroute.engine.opening import decide, open_route, target_for
from procroute.engine.request import Request, named
from procroute.engine.settle import settle, undoing
from procroute.engine.user import find
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, records
from procroute.kernel.linux import Linux
from procroute.model import LiveRoute, Marks, OnDown
from procroute.protocol import Wanted


class OpenRoute(Struct, frozen=True):
    """A route that is in the kernel. path: its target; attending: keeps that in use while we live."""

    live: LiveRoute
    path: Path
    attending: int


class Routes:
    """All of it under the lock, but for what says otherwise, and from one thread.

    settings: what routes are opened by from now on; its identity stays what it was. kept: the numbers of
    those that stay while nobody is on them, for rules; checked: for health checks; outer: for tunnels.
    """

    def __init__(self, linux: Linux, settings: Settings, tell: Tell) -> None:
        self._linux = linux
        self.settings = settings
        self._tell = tell
        self.unsettled = True  # a daemon that crashed may have left something
        self.kept: frozenset[int] = frozenset()
        self.checked: frozenset[int] = frozenset()
        self.outer: frozenset[int] = frozenset()
        self._open: dict[int, OpenRoute] = {}
        self._by_name: dict[str, OpenRoute] = {}
        self._meant: dict[Request, LiveRoute] = {}
        self._notes: dict[Request, list[str]] = {}

    def adopt(self) -> list[OpenRoute]:
        """Care for the routes that are there; those that are new."""
        new = [
            self._attend(target.live, target.path)
            for target in records.targets(self._linux.mount, self._linux.namespace)
            if target.identity == self._linux.identity and target.live.number not in self._open
        ]
        if new:
            self._linux.find_targets()
        return new

    def refresh(self) -> None:
        """Read again what is written on the routes that are cared for."""
        for target in records.targets(self._linux.mount, self._linux.namespace):
            found = self._open.get(target.live.number)
            if found is not None and found.path == target.path:
                self._attend(target.live, target.path)

    def open(self, request: Request) -> tuple[OpenRoute, list[str]]:
        """The route that is asked for, by adapters; and lines for who asked. Raises ProcrouteError."""
        meant = self._meant.get(request)
        known = None if meant is None else self._open.get(meant.number)
        # Another route may have got the number of one that was closed.
        if meant and known and known.live.route == meant.route and self._is_still(known, request):
            return known, [*self._notes.get(request, [])]
        observed, live, notes = decide(self._linux, request, self.settings)
        with undoing(self._linux, lambda _: self.settle()):
            now, _ = open_route(self._linux, observed, live)
            # As it is written down now: with its adapter, by which the next one who asks knows it again.
            live = next((t for t in now.ours.targets if t.number == live.number), live)
            found = self._attend(live, self._linux.path(live.number))
        still = {r: m for r, m in self._meant.items() if m.number in self._open}
        self._meant = still | {request: live}
        self._notes = {r: self._notes[r] for r in self._meant if r in self._notes} | {request: [*notes]}
        return found, notes

    def meant(self, wanted: Wanted) -> Request:
        """What is asked for, by adapters: a name of the configuration's stands for those and options.

        Raises ProcrouteError usage for what is no address.
        """
        return named(request_for(wanted), self.settings.route)

    def there(self, wanted: Wanted) -> OpenRoute | None:
        """The route that is asked for, if it is there, whether it could be opened or not."""
        meant = self.meant(wanted)
        return next((f for f in self.all() if request_for(asked_again(f.live.route)) == meant), None)

    def target(self, found: OpenRoute, uid: int) -> Path:
        """Where processes of a user go. Raises ProcrouteError."""
        if not self._linux.placement.by_systemd or uid == 0 or found.live.route.strict:
            return found.path
        now = self._linux.observe()
        try:
            user = find(str(uid))
        except ProcrouteError:
            return found.path

        def routes(seen: Observed) -> tuple[LiveRoute, ...]:
            return seen.alive()

        return target_for(self._linux, now, found.live, user, routes, self._tell)

    def revive(self, live: LiveRoute) -> None:
        """Have a route in the kernel again of which only targets in place are left. Raises ProcrouteError."""
        open_route(self._linux, self._linux.observe(), live)

    def of_targets(self, name: str) -> OpenRoute | None:
        """The route whose targets, its own and users', have this name. None: it has gone."""
        return self._by_name.get(name)

    def all(self) -> list[OpenRoute]:
        """The routes that are cared for."""
        return list(self._open.values())

    def with_paths(self, some: Iterable[OpenRoute] | None = None) -> Iterator[tuple[OpenRoute, list[Path]]]:
        """Some routes, or all, each with its cgroups: its own, those in users' trees and in place, as far as
        they still are."""
        further: dict[int, list[Path]] = {}
        for target in self._linux.further_targets():
            further.setdefault(target.live.number, []).append(target.path)
        for found in self.all() if some is None else some:
            paths = (found.path, *further.get(found.live.number, ()))
            yield found, [path for path in paths if path.exists()]

    def marks_given(self) -> dict[int, int]:
        """As engine/move.py tells it, of all routes."""
        if all(found.live.marks is not Marks.PACKETS for found in self.all()):
            return {}
        return marks_given(self._linux.identity, ((f.live, paths) for f, paths in self.with_paths()))

    def unused(self, kept: Collection[int] = ()) -> list[OpenRoute]:
        """Those without a process and without owners, but for some by their numbers. Takes no lock."""
        without = [
            found
            for number, found in self._open.items()
            if number not in kept and not found.live.owners and not cgroups.populated(found.path)
            if not records.carries(found.live)
        ]
        if not without:
            return []  # nearly always so, and asked after each request
        return [f for f, paths in self.with_paths(without) if not any(map(cgroups.populated, paths))]

    def close(self, numbers: Iterable[int]) -> None:
        """Care no longer for some routes. What is left of them is removed when nobody uses it."""
        for found in filter(None, (self._open.pop(number, None) for number in numbers)):
            self._by_name.pop(found.path.name, None)
            os.close(found.attending)
        self.settle()

    def let_be(self) -> None:
        """The end of the daemon: routes with living processes stay in the kernel, others go."""
        for found in self._open.values():
            os.close(found.attending)
        self._open.clear()
        self._by_name.clear()
        self.settle()

    def settle(self) -> None:
        """Remove what nobody uses. Raises ProcrouteError and OSError; then there is some left."""
        self.unsettled = True
        settle(self._linux)
        self.unsettled = False

    def _attend(self, live: LiveRoute, path: Path) -> OpenRoute:
        before = self._open.get(live.number)
        if before is not None and before.path == path and path.exists():
            attending = before.attending
        else:
            if before is not None:
                os.close(before.attending)
            attending = cgroups.attend(path)
        self._open[live.number] = self._by_name[path.name] = found = OpenRoute(live, path, attending)
        return found

    @staticmethod
    def _is_still(known: OpenRoute, request: Request) -> bool:
        """Whether the words mean the same adapter as before, and the route is there: no need to look."""
        if known.live.route.chooses:
            return False  # what is passed over is told each time
        try:
            return socket.if_nametoindex(request.adapter) == known.live.ifindex and records.named(known.path)
        except OSError:
            return False


def leaves_by(live: LiveRoute) -> str:
    """The name of the adapter that a route leaves by; empty: the machine's own way."""
    if live.by_main:
        return ""
    try:
        return socket.if_indextoname(live.ifindex)
    except OSError:
        return live.route.adapter


def request_for(wanted: Wanted) -> Request:
    """What somebody asks for, as the engine takes it. Raises ProcrouteError usage for what is no address."""
    dns = None if wanted.dns is None else tuple(ip_address(_address(text)) for text in wanted.dns)
    try:
        gateway4 = IPv4Address(wanted.gateway4) if wanted.gateway4 is not None else None
        gateway6 = IPv6Address(wanted.gateway6) if wanted.gateway6 is not None else None
    except AddressValueError as e:
        raise ProcrouteError("usage", f"no address: {e}") from e
    return Request(
        (),
        wanted.via,
        wanted.strict,
        gateway4,
        gateway6,
        dns,
        on_down=None if wanted.on_down is None else OnDown(wanted.on_down),
        reset=None if wanted.existing is None else wanted.existing == "reset",
        hold=wanted.hold,
        inbound=wanted.inbound,
    )


def _address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError as e:
        raise ProcrouteError("usage", f"{text!r} is no address of a name server") from e
    return text
