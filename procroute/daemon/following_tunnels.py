"""Looks after the tunnels of the configuration when the daemon starts, on news of adapters, and by `reload`.

In the loop's thread; what changes the kernel is done in the writer's (tunnels.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from procroute.daemon.tunnels import Tunnels
from procroute.daemon.works import Works
from procroute.engine.words import Tell

_AGAIN: Final = (1.0, 5.0)
"""So many seconds after a tunnel of the kernel's has taken another way it is told to look anew once more."""


class FollowingTunnels:
    """do: has something done in the writer's thread."""

    def __init__(
        self, tunnels: Tunnels, do: Callable[[Callable[[], Any]], Awaitable[Any]], tell: Tell
    ) -> None:
        self._tunnels = tunnels
        self._do = do
        self._tell = tell
        self._works = Works(tell, "not done for tunnels")
        self._loop = asyncio.get_running_loop()
        self._due = self._over = False
        self._said: frozenset[str] = frozenset()

    async def reload(self) -> list[str]:
        """Have it as the configuration says now; lines on what cannot be."""
        notes: list[str]
        notes, moved = await self._do(self._keep)
        if moved:
            for seconds in _AGAIN:
                self._loop.call_later(seconds, self._look_anew, moved)
        self._said = frozenset(notes)
        return notes

    async def start(self) -> None:
        """The same, and tell these lines."""
        for note in await self.reload():
            self._tell(note)

    def look(self) -> None:
        """Adapters have changed, and a tunnel may be among them, or a route has switched: once for all news
        while that waits."""
        if self._tunnels.tunnels and not self._due:
            self._due = True
            self._works.begin(self._look())

    def close(self) -> None:
        """The end of the daemon."""
        self._over = True
        self._works.cancel()

    async def _look(self) -> None:
        before = self._said
        for note in await self.reload():
            if note not in before:
                self._tell(note)

    def _look_anew(self, moved: frozenset[int]) -> None:
        async def look_anew() -> None:
            await self._do(lambda: self._tunnels.look_anew(moved))

        if not self._over:
            self._works.begin(look_anew())

    def _keep(self) -> tuple[list[str], frozenset[int]]:
        self._due = False  # what is heard from now on counts anew
        return self._tunnels.keep(), self._tunnels.moved()
