"""What has to be asked for: adapters on news, sockets now and then, and the details of the chosen process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute_tui.model.details import Asked

if TYPE_CHECKING:
    from procroute_tui.app import Tui

_RETRY: Final = 5.0
"""Seconds until adapters are asked for again where that was refused."""
_SOCKETS: Final = 5.0
_SHARE: Final = 50
"""The daemon counts sockets for one part in so many of the time: on a busy machine that takes a while."""
_DETAILS: Final = 2.0
_STILL: Final = 0.15
"""Seconds that a cursor rests before the daemon is asked about the row."""


class Looker:
    """Of one application. again: adapters may be others; chosen: another row, or the pane was opened."""

    def __init__(self, app: Tui) -> None:
        self._app = app
        self.again, self.chosen = asyncio.Event(), asyncio.Event()

    async def adapters(self) -> None:
        """Ask for them when told so."""
        app = self._app
        while True:
            await self.again.wait()
            self.again.clear()
            try:
                found = await app.daemon.ask(protocol.Adapters())
            except ProcrouteError:  # that the daemon has gone is told by the events
                await asyncio.sleep(_RETRY)
                self.again.set()
                continue
            if found.adapters != app.machine.adapters:
                app.machine.adapters = found.adapters
                app.adapters.show()

    async def sockets(self) -> None:
        """Ask for those of assignments, now and then, where their column is seen."""
        app, pause = self._app, 0.5
        while True:
            await asyncio.sleep(pause)
            pause = _SOCKETS
            if not app.machine.assignments or not any(c.key == "sockets" for c, _ in app.table.columns):
                continue
            began = time.monotonic()
            try:
                reply = await app.daemon.ask(protocol.Ps(sockets=True))
            except ProcrouteError:
                continue
            pause = max(_SOCKETS, _SHARE * (time.monotonic() - began))
            changes = app.machine.take_sockets(reply.assignments)
            if app.listing.take(changes):
                app.draw_soon()
            else:
                app.table.touch(changes.pids)

    async def details(self) -> None:
        """Ask about the chosen process while its details are seen."""
        app = self._app
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.chosen.wait(), _DETAILS)
                await asyncio.sleep(_STILL)
            self.chosen.clear()
            if not app.pane.has_class("shown"):
                continue
            pid = next(iter(app.processes_of(app.table.cursor)), 0)
            asked = app.pane.asked
            if asked is None or asked.pid != pid:
                app.pane.asked = Asked(pid) if pid else None
                app.pane.show()
            if pid and app.pane.asked is not None:
                await self._ask(app.pane.asked)
            app.pane.show()

    async def _ask(self, asked: Asked) -> None:
        """Its sockets each time; how its packets go when it is first seen, or on another route."""
        app = self._app
        try:
            asked.inspected = await app.daemon.ask(protocol.Inspect(pid=asked.pid))
            app.pane.show()
            process = app.machine.processes.get(asked.pid)
            if process is not None and (asked.explained is None or asked.route != process.assignment):
                asked.explained = await app.daemon.ask(protocol.Explain(pid=asked.pid))
                asked.route = process.assignment
            asked.refused = ""
        except ProcrouteError as e:
            asked.refused = e.message + (f" ({e.hint})" if e.hint else "")
