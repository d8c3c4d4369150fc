"""The holder of execs, as the daemon sees it: told what to hold, heard, and started where there is none.

In the loop's thread. Whoever is held is placed in the writer's (ruling.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from procroute.core.hold_rules import HoldRule
from procroute.daemon.works import Works
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.holder import link
from procroute.holder.link import Link
from procroute.holder.words import Decided, Exec, Said
from procroute.holder.words import Holding as Held
from procroute.terminal import printable
from procroute.told import NOTICE, told

_AGAIN, _AGAIN_AT_MOST = 0.05, 5.0
"""Seconds before a holder is started again that has ended; twice as long each time that cannot be done."""
_PATIENCE: Final = 10.0
"""So many seconds are waited until it holds."""
_BUSY: Final = 0.25
"""Every so many seconds the holder is told whose turn is still to come: it waits for three times as long."""


Ask = Callable[[Exec, Callable[[bool], None]], Awaitable[None]]


class Holding:
    """ask: place a process whose exec is held, and tell from any thread whether it may go on.

    waits: whether process 1 waits for an exec, so that it is not to be held for longer. thread: in which a
    holder is started.
    """

    def __init__(self, ask: Ask, waits: Callable[[Exec], bool], thread: Executor, tell: Tell) -> None:
        self._ask = ask
        self._waits = waits
        self._thread = thread
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._rules: Sequence[HoldRule] = ()
        self._link: Link | None = None
        self._opening: asyncio.Task[None] | None = None
        self._works = Works(tell, "a held exec was not answered")
        self._asked: set[Exec] = set()
        self._busy: asyncio.TimerHandle | None = None
        self._faults: dict[str, str] = {}
        self._number = 0
        self._holds: asyncio.Event = asyncio.Event()
        self.files = 0

    async def want(self, rules: Sequence[HoldRule]) -> None:
        """Hold execs by these rules from now on; returns when all that can be held is. Raises ProcrouteError.

        A holder that an earlier daemon has left is told, too, where there is nothing to hold any more.
        """
        self._rules = rules
        self._holds.clear()
        if self._link is not None:
            self._send(self._link)
        else:
            await self._open()
        if not rules:
            self._leave()  # it ends, as it has nothing to hold
        elif self._link is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._holds.wait(), _PATIENCE)

    def close(self) -> None:
        """The end of the daemon: the holder goes on by what its rules say of that."""
        if self._opening is not None:
            self._opening.cancel()
        if self._busy is not None:
            self._busy.cancel()
        self._works.cancel()
        self._leave()

    async def _open(self) -> None:
        """Raises ProcrouteError."""
        connect = link.opened if self._rules else link.connected
        try:
            found = await self._loop.run_in_executor(self._thread, connect)
        except OSError as e:
            raise ProcrouteError("hold", f"execs cannot be held: {e.strerror or e}") from e
        if found is None:
            return
        if self._link is not None:
            found.close()
            return
        self._link = found
        self._loop.add_reader(found.fileno(), self._on_said)
        self._send(found)

    def _send(self, to: Link) -> None:
        try:
            self._number = to.hold(self._rules)
        except (EOFError, OSError) as e:
            self._lost(e)

    def _on_said(self) -> None:
        if self._link is None:
            return
        try:
            for said in self._link.hear():
                self._said(said)
        except (EOFError, OSError) as e:
            self._lost(e)
        except (ValueError, KeyError, TypeError) as e:  # of another release, as before an upgrade
            with contextlib.suppress(EOFError, OSError):
                self._link.hold(())  # with nothing to hold it ends
            self._lost(e)

    def _said(self, said: Said) -> None:
        if isinstance(said, Exec):
            self._works.begin(self._answer(said))
        elif isinstance(said, Decided):
            what = "allowed" if said.allow else "denied"
            self._tell(
                f"{printable(said.path)} (pid {said.pid}) was {what} by {', '.join(said.keys)},"
                f" as the daemon did not answer ({said.why})"
            )
        elif isinstance(said, Held):
            self.files = said.files
            for path, why in said.faults.items():
                if self._faults.get(path) != why:
                    self._tell(f"not every start of {printable(path)} is held: {why}")
            self._faults = dict(said.faults)
            if said.number == self._number:
                self._holds.set()

    async def _answer(self, asked: Exec) -> None:
        if (to := self._link) is None:
            return
        if not self._waits(asked):
            self._asked.add(asked)
            if self._busy is None:
                self._busy = self._loop.call_later(_BUSY, self._say_busy)
        try:
            await self._ask(asked, lambda allow: self._answered(to, asked, allow))
        finally:
            self._asked.discard(asked)

    def _say_busy(self) -> None:
        self._busy = None
        if self._asked and self._link is not None:
            self._busy = self._loop.call_later(_BUSY, self._say_busy)
            try:
                self._link.busy(one.event for one in self._asked)
            except (EOFError, OSError) as e:
                self._lost(e)

    def _answered(self, to: Link, asked: Exec, allow: bool) -> None:
        """In the thread where it is decided: who is held does not wait for the loop."""
        try:
            to.answer(asked.event, allow=allow)
        except (EOFError, OSError) as e:
            self._loop.call_soon_threadsafe(self._lost_one, to, e)

    def _lost_one(self, link: Link, why: Exception) -> None:
        if link is self._link:
            self._lost(why)

    def _lost(self, why: Exception) -> None:
        """The holder has ended, or is not understood: starts are not held until there is another one."""
        self._leave()
        if not self._rules:
            return
        self._tell(
            f"the holder of execs has ended ({why!r}): what starts now is not held; it is started again"
        )
        if self._opening is None or self._opening.done():
            self._opening = self._loop.create_task(self._open_again())

    async def _open_again(self) -> None:
        pause = _AGAIN
        while self._link is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _AGAIN_AT_MOST)
            try:
                await self._open()
            except ProcrouteError as e:
                self._tell(f"execs are not held: {e.message}")
        self._tell(told("starts are held again", NOTICE))

    def _leave(self) -> None:
        if self._link is not None:
            self._loop.remove_reader(self._link.fileno())
            self._link.close()
            self._link = None
            self._asked.clear()
            self.files = 0
