"""Closes routes that nobody uses any more, when the last word of their connections is said."""

from __future__ import annotations

import time

from procroute.daemon.register import Register
from procroute.daemon.routes import OpenRoute, Routes
from procroute.engine.linger import STALLED, Carried, Goodbye, end
from procroute.engine.lock import lock, patient
from procroute.engine.move import unmark
from procroute.engine.words import Tell
from procroute.kernel import cgroups, sockets
from procroute.kernel.linux import Linux
from procroute.model import Marks
from procroute.told import NOTICE, told

_SOON, _LATER, _LATEST = 0.02, 1.0, 60.0
"""When to look again, in seconds. Nobody tells of the end of connections that were kept: these are looked at
after a quarter of the time that they have lasted."""
_AT_THE_END, _AT_MOST = 2.0, 10.0
"""For how long data may stand still when the daemon ends, and connections may take to close; in seconds."""


class Closing:
    """Takes the lock itself."""

    def __init__(self, linux: Linux, routes: Routes, register: Register, tell: Tell) -> None:
        self._identity = linux.identity
        self._mount = linux.cgroup_mount
        self._routes = routes
        self._register = register
        self._tell = tell
        self._goodbyes: dict[int, Goodbye] = {}
        self._kept_since: dict[int, float] = {}

    def close_unused(self) -> float | None:
        """Close what can be closed, and remove what could not be before.

        In how many seconds to look again, None: on news. Raises ProcrouteError and OSError.
        """
        self._register.tidy()
        if self._routes.unsettled:
            with lock(patient(self._tell)):
                self._routes.settle()
        unused = self._routes.unused(self._routes.kept | self._routes.checked | self._routes.outer)
        numbers = {found.live.number for found in unused}
        self._goodbyes = {n: goodbye for n, goodbye in self._goodbyes.items() if n in numbers}
        self._kept_since = {n: since for n, since in self._kept_since.items() if n in numbers}
        again: list[float] = []
        over: list[OpenRoute] = []
        for found in unused:
            if self._kept(found):
                self._goodbyes.pop(found.live.number, None)
                again.append(self._later(found.live.number))
            elif not self._is_said(found):
                again.append(_SOON)
            else:
                over.append(found)
        if over:
            with lock(patient(self._tell)):
                self._close(over)
        return min(again, default=None)

    def _close(self, over: list[OpenRoute]) -> None:
        """Under the lock; settled once for all of them: that looks at everything there is."""
        ended = self._ended(over)
        for found in ended:
            self._register.end_with(found.live.number)
            self._register.unwatch_route(found)
        self._routes.close([found.live.number for found in ended])

    def close_all(self) -> None:
        """The end of the daemon: what nobody uses goes, with connections that were kept; the rest stays."""
        unused = self._routes.unused()
        for found in unused:
            kept = self._kept(found)
            for each in kept:
                sockets.destroy(each)
            unmark(self._identity, self._mount, kept)
            if kept:
                route = found.live.route.name
                line = f"{len(kept)} connections that were kept on {route} were ended"
                self._tell(told(line, NOTICE, route=route))
        self._goodbyes.clear()  # they may have been given longer
        waiting, deadline = unused, time.monotonic() + _AT_MOST
        while (waiting := [f for f in waiting if not self._is_said(f, _AT_THE_END)]) and (
            time.monotonic() < deadline
        ):
            time.sleep(_SOON)
        with lock(patient(self._tell)):
            self._ended(unused)
            self._routes.let_be()

    def _later(self, number: int) -> float:
        """In how many seconds to look again at a route whose connections were kept."""
        now = time.monotonic()
        since = self._kept_since.setdefault(number, now)
        return min(max(_LATER, (now - since) / 4), _LATEST)

    def _is_said(self, found: OpenRoute, stalled: float = STALLED) -> bool:
        """Whether the connections of a route have had their last word, or their time for it."""
        number = found.live.number
        if number not in self._goodbyes:
            self._goodbyes[number] = Goodbye(self._identity, self._carried(found), stalled)
        return self._goodbyes[number].is_said()

    def _ended(self, some: list[OpenRoute]) -> list[OpenRoute]:
        """End what is left of their connections, under the lock; those that nobody uses again."""
        for found in some:
            self._goodbyes.pop(found.live.number, None)
        still = [f for f, paths in self._routes.with_paths(some) if not any(map(cgroups.populated, paths))]
        for found in still:
            end(self._identity, self._carried(found), self._tell)
        return still

    def _kept(self, found: OpenRoute) -> list[sockets.InetSocket]:
        """The sockets of processes that were let go which still go by a route."""
        mark = self._identity.mark(found.live.number)
        some = (
            sockets.with_mark(protocol, mark, self._identity.number_mask)
            for protocol in (sockets.TCP, sockets.UDP)
        )
        return [each for of in some for each in of if each.inode and each.state != sockets.TIME_WAIT]

    @staticmethod
    def _carried(found: OpenRoute) -> Carried:
        """What tells the sockets of a route."""
        made_in = cgroups.ids(found.path) if found.live.marks is Marks.PACKETS else frozenset()
        return Carried([found.live.number], made_in)
