"""The routes that the daemon cares for: opened for the first assignment, closed after the last connection."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from procroute.config import Settings
from procroute.core import choose
from procroute.core.asking import wanted as asked_again
from procroute.core.machine import Machine, Observed
from procroute.daemon.asked import request_for
from procroute.engine.move import marks_given
from procroute.engine.opening import decide, open_route, target_for
from procroute.engine.request import Request, asked_for, named
from procroute.engine.settle import settle, undoing
from procroute.engine.user import find
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, cgroups, records
from procroute.kernel.linux import Linux
from procroute.model import LiveRoute, Marks
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
        self._lacking: dict[int, str] = {}

    def adopt(self) -> list[OpenRoute]:
        """Care for the routes that are there; those that are new."""
        new = [
            self._attend(target.live, target.path)
            for target in records.targets(self._linux.mount, self._linux.namespace)
            if target.identity == self._linux.identity and target.live.number not in self._open
        ]
        if new:
            self._linux.find_targets()
        self._lacking |= {f.live.number: "" for f in new if not _has_adapter(f.live)}
        return new

    def refresh(self) -> None:
        """Read again what is written on the routes that are cared for."""
        for target in records.targets(self._linux.mount, self._linux.namespace):
            found = self._open.get(target.live.number)
            if found is not None and found.path == target.path:
                self._attend(target.live, target.path)

    def open(self, request: Request) -> tuple[OpenRoute, list[str]]:
        """The route that is asked for, by adapters; and lines for who asked. Raises ProcrouteError.

        Of a request that may do without its adapters for now, one that is there will do, also where it could
        not be opened any more: whoever is on it goes nowhere else.
        """
        meant = self._meant.get(request)
        known = None if meant is None else self._open.get(meant.number)
        # Another route may have got the number of one that was closed.
        if meant and known and known.live.route == meant.route and self._is_still(known, request):
            return known, [*self._notes.get(request, [])]
        try:
            observed, live, notes = decide(self._linux, request, self.settings)
        except ProcrouteError as e:
            if not request.absent or (there := self._there(request)) is None:
                raise
            self._lacking[there.live.number] = e.message
            return there, [e.message]
        with undoing(self._linux, lambda _: self.settle()):
            now, _ = open_route(self._linux, observed, live)
            # As it is written down now: with its adapter, by which the next one who asks knows it again.
            live = next((t for t in now.ours.targets if t.number == live.number), live)
            found = self._attend(live, self._linux.path(live.number))
            why = choose.missing(now.machine, live)
        self._lacking.pop(live.number, None)
        self._lacking |= {live.number: why} if why else {}
        still = {r: m for r, m in self._meant.items() if m.number in self._open}
        self._meant = still | {request: live}
        self._notes = {r: self._notes[r] for r in self._meant if r in self._notes} | {request: [*notes]}
        return found, notes

    def meant(self, wanted: Wanted) -> Request:
        """What is asked for, by adapters: a name of the configuration's stands for those and options.

        Raises ProcrouteError usage for what is no address.
        """
        return named(request_for(wanted), self.settings.route)

    def lacking(self, found: OpenRoute) -> str:
        """What a route lacks, so that nothing leaves by it, as it was opened last; empty: nothing."""
        return self._lacking.get(found.live.number, "")

    def waiting(self) -> list[OpenRoute]:
        """Those that lacked something which may have come. Takes no lock."""
        some = (self._open[number] for number in self._lacking if number in self._open)
        return [found for found in some if any(map(adapters.index_of, found.live.route.adapters))]

    def fill(self, some: Iterable[OpenRoute]) -> None:
        """Open some anew, with what there is of their adapters now."""
        for found in some:
            try:
                self.open(replace(request_for(asked_again(found.live.route)), absent=True))
            except ProcrouteError as e:
                self._tell(f"{found.live.route.name}: {e.message}")

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
            self._lacking.pop(found.live.number, None)
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

    def _there(self, request: Request) -> OpenRoute | None:
        meant = asked_for(Machine(), request)
        return next((f for f in self.all() if f.live.route == meant), None)

    def _is_still(self, known: OpenRoute, request: Request) -> bool:
        """Whether the words mean the same adapter as before, and the route is there: no need to look."""
        if known.live.route.chooses or known.live.number in self._lacking:
            return False  # what is passed over or lacking is told each time
        ifindex = adapters.index_of(request.adapter)
        return ifindex == known.live.ifindex != 0 and records.named(known.path)


def _has_adapter(live: LiveRoute) -> bool:
    """Whether the adapter is there that a route left by last."""
    return live.by_main or adapters.is_there(live.ifindex)


def leaves_by(live: LiveRoute) -> str:
    """The name of the adapter that a route leaves by; empty: the machine's own way."""
    return "" if live.by_main else adapters.name_of(live.ifindex) or live.route.adapter
