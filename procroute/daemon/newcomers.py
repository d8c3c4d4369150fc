"""News of processes for rules that no exec can be held for: the kernel's, else by looking once a second.

Where BPF cannot tell, the process connector does, of all but who is put into another cgroup: for these
everybody is looked at once a second as well. Nothing is hooked while no rule needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from typing import Final

from procroute.daemon.works import Works
from procroute.engine.words import Tell
from procroute.kernel import connector, lives
from procroute.kernel.living import everybody

_TOGETHER, _APART = 0.002, 0.01
"""Seconds that news are left to come together: who forks executes soon after, and a new name or user is told
of just before it is set (bpf/lives.bpf.c). And where there are many, from one time to the next: much has
ended by then."""
_EVERY: Final = 1.0
"""Seconds between two looks at everybody, where the kernel does not tell all."""


class Newcomers:
    """met: is told PIDs of which there is news. thread: in which everybody is looked at. In the loop's."""

    def __init__(self, met: Callable[[Collection[int]], None], thread: Executor, tell: Tell) -> None:
        self._met = met
        self._thread = thread
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._news: lives.Lives | connector.Connector | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._read_at = 0.0
        self._looks = False
        self._works = Works(tell, "processes were not looked at")
        self._known: frozenset[tuple[int, int, str, str]] = frozenset()

    def want(self, needed: bool) -> None:
        """Listen from now on, or no longer."""
        if needed == (self._news is not None or self._looks):
            return
        if not needed:
            self.close()
            return
        self._news = lives.listen()
        if self._news is None:
            self._news = connector.listen()
            who = "who is put into another cgroup" if self._news is not None else "of processes"
            self._tell(f"the kernel does not tell {who} here: rules without exe look once a second for that")
            self._looks = True
            self._works.begin(self._look_on())
        self._hear()

    def close(self) -> None:
        """Listen no longer."""
        self._works.cancel()
        self._looks = False
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        elif self._news is not None:
            self._loop.remove_reader(self._news.fileno())
        if self._news is not None:
            self._news.close()
            self._news = None

    def _hear(self) -> None:
        self._waiting = None
        if self._news is not None:
            self._loop.add_reader(self._news.fileno(), self._on_news)

    def _on_news(self) -> None:
        if self._news is None:
            return
        self._loop.remove_reader(self._news.fileno())
        pause = max(_TOGETHER, self._read_at + _APART - self._loop.time())
        self._waiting = self._loop.call_later(pause, self._read)

    def _read(self) -> None:
        if self._news is None:
            return
        self._read_at = self._loop.time()
        told = self._news.read()
        if told is None:  # more than could be told
            self._works.begin(self._look())
        elif pids := {life.pid for life in told} - {life.pid for life in told if life.ended}:
            self._met(pids)
        self._hear()

    async def _look_on(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # of descriptors or memory: the next look may have them
                await self._look()
            await asyncio.sleep(_EVERY)

    async def _look(self) -> None:
        """At everybody: who is new, or is called or placed otherwise than at the last look."""
        now = await self._loop.run_in_executor(self._thread, _everybody)
        if new := now - self._known:
            self._met({pid for pid, *_ in new})
        self._known = now if self._looks else frozenset()


def _everybody() -> frozenset[tuple[int, int, str, str]]:
    return frozenset((one.pid, one.began, one.name, one.cgroup) for one in everybody())
