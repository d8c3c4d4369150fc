"""Looks after the tunnels of the configuration when the daemon starts, on news of adapters, and by `reload`.

In the loop's thread; what changes the kernel is done in the writer's (tunnels.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from procroute.daemon.tunnels import Tunnels
from procroute.daemon.works import Works
from procroute.engine.words import Tell


class FollowingTunnels:
    """do: has something done in the writer's thread."""

    def __init__(
        self, tunnels: Tunnels, do: Callable[[Callable[[], Any]], Awaitable[Any]], tell: Tell
    ) -> None:
        self._tunnels = tunnels
        self._do = do
        self._tell = tell
        self._works = Works(tell, "not done for tunnels")
        self._due = False
        self._said: frozenset[str] = frozenset()

    async def reload(self) -> list[str]:
        """Have it as the configuration says now; lines on what cannot be."""
        notes: list[str] = await self._do(self._keep)
        self._said = frozenset(notes)
        return notes

    async def start(self) -> None:
        """The same, and tell these lines."""
        for note in await self.reload():
            self._tell(note)

    def look(self) -> None:
        """Adapters have changed, and a tunnel may be among them: once for all news while that waits."""
        if self._tunnels.tunnels and not self._due:
            self._due = True
            self._works.begin(self._look())

    def close(self) -> None:
        """The end of the daemon."""
        self._works.cancel()

    async def _look(self) -> None:
        before = self._said
        for note in await self.reload():
            if note not in before:
                self._tell(note)

    def _keep(self) -> list[str]:
        self._due = False  # what is heard from now on counts anew
        return self._tunnels.keep()
