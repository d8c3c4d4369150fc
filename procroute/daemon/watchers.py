"""Who watches, and what waits to be sent to each: so many events, then it is told that some were lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from procroute import protocol
from procroute.core.access import Peer, seen_by

EVENTS: Final = 1000
"""So many events may wait for one that watches."""
_MORE: Final = (protocol.AdaptersChanged, protocol.RulesChanged)
"""Events for who has asked for more than assignments."""


class Watcher:
    """One that watches. who: it is; asked: for what."""

    def __init__(self, who: Peer, asked: protocol.Watch) -> None:
        self.who = who
        self.asked = asked
        self._waiting: asyncio.Queue[protocol.Event] = asyncio.Queue()
        self.lost = False
        """Whether it has read too slowly, and gets no more."""

    @property
    def wants_more(self) -> bool:
        """Whether it has asked for more than assignments."""
        return self.asked.processes or self.asked.traffic > 0

    def put(self, event: protocol.Event) -> None:
        """Have an event sent, which it may see; who reads too slowly is told so, and gets no more."""
        if self.lost:
            return
        if self._waiting.qsize() < EVENTS:
            self._waiting.put_nowait(event)
        else:
            self.lost = True
            self._waiting.put_nowait(protocol.Lost(at=event.at))

    async def next(self) -> protocol.Event:
        """What it gets next."""
        return await self._waiting.get()


class Watchers:
    """All of them. In the loop's thread."""

    def __init__(self) -> None:
        self._all: set[Watcher] = set()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Watcher]:
        return iter(list(self._all))

    def add(self, watcher: Watcher) -> None:
        """One more."""
        self._all.add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """One less; who has gone already is fine."""
        self._all.discard(watcher)

    def say(self, event: protocol.Event) -> None:
        """Give an event to all, as each may see it."""
        for watcher in list(self._all):
            if isinstance(event, _MORE) and not watcher.wants_more:
                continue
            watcher.put(seen_by(watcher.who, event))
            if watcher.lost:
                self._all.discard(watcher)
