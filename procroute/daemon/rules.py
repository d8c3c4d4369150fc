"""The route rules while the daemon lives: read at its start, on news of their files and when somebody asks
for it, and put into effect.

In the loop's thread; what changes the kernel is done in the writer's (ruling.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

from procroute import protocol
from procroute.daemon.holding import Holding
from procroute.daemon.newcomers import Newcomers
from procroute.daemon.ruling import Ruling
from procroute.daemon.works import Works
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.holder.words import Exec
from procroute.kernel.watch import Watch
from procroute.rulebook.folders import FOLDERS, USERS

_TOGETHER: Final = 0.1
"""Seconds that news of files are left to come together: an editor writes more than once."""


class Rules:
    """do: has something done in the writer's thread. thread: where is waited for the holder of execs, and
    where everybody is looked at. say: takes what is to be told to who watches.

    wrong: why the files as they are now are not used; empty: they are.
    """

    def __init__(
        self,
        ruling: Ruling,
        do: Callable[[Callable[[], Any]], Awaitable[Any]],
        thread: Executor,
        say: Callable[[protocol.Event], None],
        tell: Tell,
    ) -> None:
        self._say = say
        self._ruling = ruling
        self._do = do
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._holding = Holding(self._held, ruling.waited_for, thread, tell)
        self._newcomers = Newcomers(self._met, thread, tell)
        self._watch: Watch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._one = asyncio.Lock()
        self._works = Works(tell, "not done for rules")
        self._missed: set[int] = set()
        self._left_out: list[str] = []
        self._impossible: list[str] = []
        self.wrong = ""

    @property
    def notes(self) -> list[str]:
        """What of the rules does not hold now."""
        return self._left_out + self._impossible

    async def start(self) -> None:
        """Put the rules into effect that there are; what is wrong with them is told."""
        self._follow()
        await self._again()

    async def reload(self) -> list[str]:
        """Read them again; lines on what of them does not hold. A bad file changes nothing.

        Raises ProcrouteError rules-bad.
        """

        def load() -> tuple[list[str], list[str]]:
            return self._ruling.load(), self._ruling.keep()

        async with self._one:
            try:
                left_out, impossible = await self._do(load)
            except ProcrouteError as e:
                self.wrong = f"{e.message}; {e.hint}"
                self._changed()
                raise
            self.wrong = ""
            try:
                await self._holding.want(self._ruling.hold_rules())
            except ProcrouteError as e:
                left_out.append(
                    f"{e.message}: programs with a rule of their own start by the machine's own way"
                )
            self._newcomers.want(self._ruling.needs_news)
            self._left_out, self._impossible = left_out, impossible
            self._changed()
        return self.notes

    @property
    def held(self) -> int:
        """How many files there are whose execs are held."""
        return self._holding.files

    def adapters_changed(self) -> None:
        """A route that could not be there may be possible now."""
        if self._ruling.book.rules:
            self._works.begin(self._keep())

    def close(self) -> None:
        """The end of the daemon."""
        if self._timer is not None:
            self._timer.cancel()
        self._works.cancel()
        self._newcomers.close()
        self._holding.close()
        if self._watch is not None:
            self._loop.remove_reader(self._watch.fileno())
            self._watch.close()

    async def _keep(self) -> None:
        async with self._one:
            impossible = await self._do(self._ruling.keep)
            self._newcomers.want(self._ruling.needs_news)
            if impossible != self._impossible:
                self._impossible = impossible
                self._changed()

    def _changed(self) -> None:
        self._say(protocol.RulesChanged(at=time.time()))

    async def _held(self, asked: Exec, answer: Callable[[bool], None]) -> None:
        await self._do(lambda: self._ruling.held(asked, answer))

    def _met(self, pids: Collection[int]) -> None:
        """Those of which there is news while others are looked at are looked at together.

        Most mean nothing to rules, and are told apart here: to go to the other thread takes longer.
        """
        if not (pids := self._ruling.meant(pids)):
            return
        waiting = bool(self._missed)
        self._missed.update(pids)
        if not waiting:
            self._works.begin(self._meet())

    async def _meet(self) -> None:
        def meet() -> None:
            pids, self._missed = self._missed, set()
            self._ruling.met(pids)

        await self._do(meet)

    async def _again(self) -> None:
        try:
            notes = await self.reload()
        except ProcrouteError as e:
            what, *hint = e.lines
            notes = [f"rules stay as they were: {what}", *hint]
        for note in notes:
            self._tell(note)

    async def _if_changed(self) -> None:
        """Of what somebody has had read already there is news as well."""
        if await self._do(self._ruling.changed):
            await self._again()

    def _follow(self) -> None:
        """Watch the folders of rule files, those of users among them."""
        if self._watch is not None:
            self._loop.remove_reader(self._watch.fileno())
            self._watch.close()
        places: list[Path] = []
        for folder in FOLDERS:
            places += [folder, folder / USERS]
            with contextlib.suppress(OSError):
                places += [one for one in (folder / USERS).iterdir() if one.is_dir()]
        try:
            self._watch = Watch((), places)
        except OSError as e:
            self._watch = None
            self._tell(f"rule files are not watched ({e}): procroute reload reads them again")
        else:
            self._loop.add_reader(self._watch.fileno(), self._on_news)

    def _on_news(self) -> None:
        if self._watch is not None and self._watch.drain() and self._timer is None:
            self._timer = self._loop.call_later(_TOGETHER, self._read_again)

    def _read_again(self) -> None:
        self._timer = None
        self._follow()
        self._works.begin(self._if_changed())
