"""News of processes for rules that no exec can be held for: the kernel's, else by looking once a second.

In the loop's thread. Nothing is hooked while no rule needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from procroute.engine.words import Tell
from procroute.kernel import lives
from procroute.kernel.living import everybody

_EVERY: Final = 1.0
"""Seconds between two looks at everybody, where the kernel does not tell."""
_MOMENT: Final = 0.002
"""Seconds from news to the look: a new name or user is told of just before it is set (bpf/lives.bpf.c)."""


class Newcomers:
    """met: is told PIDs of which there is news, in another thread."""

    def __init__(self, met: Callable[[Collection[int]], None], tell: Tell) -> None:
        self._met = met
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._lives: lives.Lives | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._known: frozenset[tuple[int, int, str]] = frozenset()

    def want(self, needed: bool) -> None:
        """Listen from now on, or no longer."""
        if needed == (self._lives is not None or self._timer is not None):
            return
        if not needed:
            self.close()
            return
        self._lives = lives.listen()
        if self._lives is not None:
            self._loop.add_reader(self._lives.fileno(), self._on_news)
        else:
            self._tell("the kernel does not tell of processes here: rules without exe look once a second")
            self._look()

    def close(self) -> None:
        """Listen no longer."""
        if self._lives is not None:
            self._loop.remove_reader(self._lives.fileno())
            self._lives.close()
            self._lives = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_news(self) -> None:
        if self._lives is not None:
            self._loop.remove_reader(self._lives.fileno())
            self._timer = self._loop.call_later(_MOMENT, self._hear)

    def _hear(self) -> None:
        self._timer = None
        if self._lives is None:
            return
        self._loop.add_reader(self._lives.fileno(), self._on_news)
        told = self._lives.read()
        if told is None:  # more than could be told
            pids = {one.pid for one in everybody()}
        else:
            ended = {life.pid for life in told if life.ended}
            pids = {life.pid for life in told} - ended
        if pids:
            self._met(pids)

    def _look(self) -> None:
        now = frozenset((one.pid, one.began, one.name) for one in everybody())
        if new := now - self._known:
            self._met({pid for pid, _, _ in new})
        self._known = now
        self._timer = self._loop.call_later(_EVERY, self._look)
