"""What is done in the loop beside everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from procroute.engine.words import Tell


class Works:
    """What goes wrong in one is told, and the daemon goes on. In the loop's thread."""

    def __init__(self, tell: Tell, told_as: str = "not done") -> None:
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._told_as = told_as
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """The end of all."""
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (wrong := task.exception()) is not None:
            self._tell(f"{self._told_as}: {wrong!r}")
