"""Looks after the tunnels of the configuration when the daemon starts, on news of adapters, and by `reload`.

In the loop's thread; what changes the kernel is done in the writer's (tunnels.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from procroute.daemon.tunnels import Tunnels
from procroute.daemon.undone import Undone
from procroute.daemon.works import Works
from procroute.engine.words import Tell

_AGAIN: Final = (0.1, 0.3, 1.0, 5.0)
"""So many seconds after a tunnel of the kernel's has taken another way it is told to look anew once more.

What its peer sent on the old way comes within a round trip, if at all; late is what a queue on that held up.
"""

_PAUSE: Final = 0.25
_PAUSE_AT_MOST: Final = 60.0
"""In seconds: when to try again what could not be done, twice as long each time."""
_SEEK: Final = (1.0, 5.0, 30.0)
"""So many seconds after news, then after each other, it is looked who has a tun device; the last goes on."""


class FollowingTunnels:
    """do: has something done in the writer's thread. tidy: has routes closed that nobody uses any more."""

    def __init__(
        self,
        tunnels: Tunnels,
        do: Callable[[Callable[[], Any]], Awaitable[Any]],
        tidy: Callable[[], None],
        tell: Tell,
    ) -> None:
        self._tunnels = tunnels
        self._tidy = tidy
        self._do = do
        self._tell = tell
        self._works = Works(tell, "not done for tunnels")
        self._loop = asyncio.get_running_loop()
        self._due = self._over = False
        self._again: asyncio.TimerHandle | None = None
        self._pause = _PAUSE
        self._said: frozenset[str] = frozenset()
        self._next: asyncio.TimerHandle | None = None

    async def reload(self) -> list[str]:
        """Have it as the configuration says now; lines on what cannot be."""
        undone: Undone
        undone, moved = await self._do(self._keep)
        if moved:
            for seconds in _AGAIN:
                self._loop.call_later(seconds, self._look_anew, moved)
        self._said = frozenset(undone.lines)
        self._try_again(undone.hopeful)
        self._seek_after(0)
        return undone.lines

    async def start(self) -> None:
        """The same, and tell these lines."""
        for note in await self.reload():
            self._tell(note)

    def look(self) -> None:
        """Adapters have changed, and a tunnel may be among them, or a route has switched: once for all news
        while that waits."""
        if not self._due and (self._tunnels.tunnels or self._again is not None):
            self._due = True
            self._works.begin(self._look())

    def close(self) -> None:
        """The end of the daemon."""
        self._over = True
        self._try_again(False)
        if self._next is not None:
            self._next.cancel()
        self._works.cancel()

    async def _look(self) -> None:
        before = self._said
        self._tell_new(await self.reload(), before)
        self._tidy()

    def _tell_new(self, notes: list[str], before: frozenset[str]) -> None:
        for note in notes:
            if note not in before:
                self._tell(note)

    def _try_again(self, hopeful: bool) -> None:
        """After a pause, where what could not be done may succeed then; news make it be tried at once."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if hopeful and not self._over:
            self._again = self._loop.call_later(self._pause, self.look)
        self._pause = min(2 * self._pause, _PAUSE_AT_MOST) if hopeful else _PAUSE

    def _seek_after(self, number: int) -> None:
        """Look for who has been handed a tun device, while there is one; sooner, if that was due later."""
        due = self._loop.time() + _SEEK[min(number, len(_SEEK) - 1)]
        if self._next is not None and self._tunnels.can_be_handed_on and self._next.when() <= due:
            return
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._tunnels.can_be_handed_on and not self._over:
            self._next = self._loop.call_at(due, lambda: self._works.begin(self._seek(number)))

    async def _seek(self, number: int) -> None:
        self._next = None
        try:
            undone: Undone = await self._do(self._tunnels.seek)
        finally:
            self._seek_after(number + 1)
        self._tell_new(undone.lines, self._said)
        self._said |= frozenset(undone.lines)

    def _look_anew(self, moved: frozenset[int]) -> None:
        async def look_anew() -> None:
            await self._do(lambda: self._tunnels.kernels.look_anew(moved))

        if not self._over:
            self._works.begin(look_anew())

    def _keep(self) -> tuple[Undone, frozenset[int]]:
        self._due = False  # what is heard from now on counts anew
        return self._tunnels.keep(), self._tunnels.kernels.moved()
