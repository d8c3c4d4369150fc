"""What is told to who watches more than assignments: processes as they come and go, and what is carried.

All of it is asked for in one thread, beside the loop's and the writer's. While nobody watches there is
nothing: no program in the kernel, no timer, no memory of who lives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor
from typing import Final

from procroute import protocol
from procroute.core.census import Difference, Seen, pieces, shown, told
from procroute.daemon.processes import PAUSE, Processes
from procroute.daemon.traffic import Traffic
from procroute.daemon.watchers import Watcher
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel.living import hidden
from procroute.protocol import Assignment, Running

_AT_LEAST: Final = 0.1
"""So many seconds from one look at what is carried to the next, whatever is asked for."""


class Feed:
    """In the loop's thread, but for what says otherwise. thread: one worker, that asks the kernel."""

    def __init__(self, processes: Processes, traffic: Traffic, thread: Executor, tell: Tell) -> None:
        self._loop = asyncio.get_running_loop()
        self._processes = processes
        self._traffic = traffic
        self._thread = thread
        self._tell = tell
        self._assignments: dict[str, int] = {}
        self._wanting: set[Watcher] = set()  # who has asked for processes; and who has them already
        self._knowing: set[Watcher] = set()
        self._fileno: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._counting: dict[Watcher, asyncio.Task[None]] = {}
        self._totals: tuple[float, asyncio.Future[protocol.Traffic]] | None = None
        self._said: set[str] = set()

    def know(self, assignments: Iterable[Assignment]) -> None:
        """Those that there are at the beginning."""
        self._assignments = {one.cgroup: one.id for one in assignments}

    @property
    def assignments(self) -> dict[str, int]:
        """Those that there are: cgroup, from the mount point, to id."""
        return dict(self._assignments)

    def heard(self, event: protocol.Event) -> None:
        """Of what happens to assignments."""
        if isinstance(event, protocol.Added):
            self._assignments[event.assignment.cgroup] = event.assignment.id
        elif isinstance(event, protocol.Removed):
            if self._assignments.get(event.assignment.cgroup) != event.assignment.id:
                return  # another one is there by now
            del self._assignments[event.assignment.cgroup]
        else:
            return
        assignments = self.assignments
        if self._wanting:
            self._thread.submit(self._look, lambda: self._processes.assign(assignments))
        if self._counting:
            self._thread.submit(self._traffic.assign, assignments)

    async def join(self, watcher: Watcher) -> list[Running]:
        """Feed it from now on; the processes that there are, if it has asked for them.

        Raises OSError and ProcrouteError.
        """
        if watcher.asked.traffic:
            if not self._counting:
                self._thread.submit(self._traffic.begin, self.assignments)
            self._counting[watcher] = self._loop.create_task(self._count(watcher))
        if not watcher.asked.processes:
            return []
        self._wanting.add(watcher)
        there: asyncio.Future[list[Running]] = self._loop.create_future()
        self._thread.submit(self._begin, watcher, there, self.assignments)
        return await there

    def leave(self, watcher: Watcher) -> None:
        """Feed it no longer; who was not is fine."""
        counting = self._counting.pop(watcher, None)
        if counting is not None:
            counting.cancel()
            if not self._counting:
                self._thread.submit(self._traffic.end)
        self._knowing.discard(watcher)
        if watcher in self._wanting:
            self._wanting.discard(watcher)
            if not self._wanting:
                self._rest()
                self._fileno = None
                self._thread.submit(self._processes.end)

    def close(self) -> None:
        """Feed nobody any more."""
        for watcher in {*self._wanting, *self._counting}:
            self.leave(watcher)

    # --- processes

    def _begin(self, watcher: Watcher, there: asyncio.Future[list[Running]], now: dict[str, int]) -> None:
        """In the thread. What is said from now on comes after this one in the loop."""
        try:
            people = self._processes.begin(now)
            found = _shown_to(watcher, people)
        except Exception as e:  # noqa: BLE001 - it is raised where it was asked for
            self._loop.call_soon_threadsafe(_fail, there, e)
            return
        fileno, again = self._processes.fileno(), self._processes.again()
        self._loop.call_soon_threadsafe(self._joined, watcher, there, found, fileno, again)

    def _joined(
        self,
        watcher: Watcher,
        there: asyncio.Future[list[Running]],
        found: list[Running],
        fileno: int | None,
        again: float | None,
    ) -> None:
        if watcher not in self._wanting or there.done():
            return
        self._knowing.add(watcher)
        self._fileno = fileno
        self._listen(again)
        first, *more = pieces(found)
        there.set_result(first)
        for piece in more:
            watcher.put(protocol.Processes(at=time.time(), now=piece))

    def _listen(self, again: float | None) -> None:
        """Look on news, and in so many seconds in any case."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if again is None else self._loop.call_later(again, self._look_soon)
        if self._fileno is not None:
            self._loop.add_reader(self._fileno, self._stirred)

    def _rest(self) -> None:
        if self._fileno is not None:
            self._loop.remove_reader(self._fileno)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _stirred(self) -> None:
        """There is news: more will come, and the kernel does not wake us meanwhile."""
        self._rest()
        self._timer = self._loop.call_later(PAUSE, self._look_soon)

    def _look_soon(self) -> None:
        self._rest()
        self._thread.submit(self._look, self._processes.look, settle=True)

    def _look(self, work: Callable[[], Difference], *, settle: bool = False) -> None:
        """In the thread. settle: listen again afterwards."""
        difference, hides = Difference(), True
        try:
            difference = work()
            hides = hidden()
        except Exception as e:  # noqa: BLE001 - a fault of ours must not end the feeding
            self._wrong(e)
        again = self._processes.again()
        self._loop.call_soon_threadsafe(self._looked, difference, hides, settle, again)

    def _looked(self, difference: Difference, hides: bool, settle: bool, again: float | None) -> None:
        if settle and self._knowing:
            self._listen(again)
        if not difference:
            return
        at = time.time()
        for watcher in self._knowing:
            now, gone = told(difference, watcher.who, hidden=hides)
            if now or gone:
                first, *more = pieces(now)
                watcher.put(protocol.Processes(at=at, now=first, gone=gone))
                for piece in more:
                    watcher.put(protocol.Processes(at=at, now=piece))

    # --- traffic

    async def _count(self, watcher: Watcher) -> None:
        while True:
            try:
                watcher.put(await asyncio.shield(self._totals_now()))
            except (OSError, ProcrouteError) as e:
                self._wrong(e)
            await asyncio.sleep(max(_AT_LEAST, watcher.asked.traffic))

    def _totals_now(self) -> asyncio.Future[protocol.Traffic]:
        """For all who ask at about the same time the kernel is asked once."""
        now = self._loop.time()
        if self._totals is None or now - self._totals[0] >= _AT_LEAST / 2:
            self._totals = now, self._loop.run_in_executor(self._thread, self._traffic.totals)
        return self._totals[1]

    def _wrong(self, error: Exception) -> None:
        """Tell it, once."""
        if str(error) not in self._said:
            self._said.add(str(error))
            self._tell(f"who watches was not told all: {error!r}")


def _shown_to(watcher: Watcher, people: Collection[Seen]) -> list[Running]:
    hides = hidden()
    each = (shown(seen, watcher.who, hidden=hides) for seen in people)
    return [running for running in each if running is not None]


def _fail(there: asyncio.Future[list[Running]], error: Exception) -> None:
    if not there.done():
        there.set_exception(error)
