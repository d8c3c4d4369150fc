"""What has ended is forgotten, and what nobody uses any more closed; where that fails it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from procroute.daemon.works import Works
from procroute.daemon.writer import Writer
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.told import told

_AGAIN: Final = 0.25
_AGAIN_AT_MOST: Final = 60.0
"""In seconds: when to try again to remove what could not be, twice as long each time."""


class Tidying:
    """In the loop's thread, but for what says otherwise. do: has something done in the writer's; works: takes
    what is done beside everything else."""

    def __init__(
        self, writer: Writer, do: Callable[[Callable[[], Any]], Awaitable[Any]], works: Works, tell: Tell
    ) -> None:
        self._writer = writer
        self._do = do
        self._works = works
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._again = _AGAIN
        self._due: dict[int, None] = {}
        self._waiting = False
        self._untidy: set[str] = set()

    async def ended(self, keys: Sequence[int]) -> None:
        """Cgroups that are watched have no process any more (Watched)."""
        self._due.update(dict.fromkeys(keys))
        await self._close_unused()

    def soon(self) -> None:
        """Look: once for all who ask while that waits for its turn."""
        if not self._waiting:
            self._waiting = True
            self._works.begin(self._close_unused())

    def close(self) -> None:
        """Look no more by itself."""
        if self._timer is not None:
            self._timer.cancel()

    async def _close_unused(self) -> None:
        try:
            again = await self._do(self._tidy)
        except (ProcrouteError, OSError) as e:
            if str(e) not in self._untidy:
                self._tell(f"what has ended could not be removed, and is tried again: {e}")
            self._untidy.add(str(e))
            again, self._again = self._again, min(2 * self._again, _AGAIN_AT_MOST)
        else:
            if self._untidy:
                self._tell(told("what has ended is removed now"))
            self._untidy.clear()
            self._again = _AGAIN
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again is not None:
            self._timer = self._loop.call_later(again, self.soon)

    def _tidy(self) -> float | None:
        """In the writer's thread: in how many seconds to look again, None: on news. Raises ProcrouteError and
        OSError; then there is some left."""
        self._waiting = False
        for key in list(self._due):
            self._due.pop(key, None)  # first: what is heard from now on counts anew
            try:
                self._writer.emptied(key)
            except BaseException:
                self._due[key] = None
                raise
        return self._writer.close_unused()
