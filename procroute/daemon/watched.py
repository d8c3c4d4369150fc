"""The cgroups that are watched for their last process: assignments' and routes', each by its key."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from procroute.engine.words import Tell
from procroute.kernel.emptied import Emptied

_UNWATCHED: Final = 2.0
"""When to try again to watch what could not be, in seconds."""


class Watched:
    """In the loop's thread, but for `watch`. ended: takes the keys of those that may be empty."""

    def __init__(self, tell: Tell, ended: Callable[[Sequence[int]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._ended = ended
        self._emptied = Emptied()
        self._asked: deque[tuple[int, Path | None]] = deque()
        self._woken = False
        self._unwatched: dict[int, Path] = {}

    def start(self) -> None:
        """Tell of news from now on."""
        self._loop.add_reader(self._emptied.fileno(), self._stirred)

    def stop(self) -> None:
        """Tell of none any more."""
        self._loop.remove_reader(self._emptied.fileno())

    def close(self) -> None:
        """The end of it."""
        self._emptied.close()

    def watch(self, key: int, path: Path | None) -> None:
        """Watch a cgroup; with None, what has this key no longer. From any thread.

        The loop is woken once for all that come before it gets to it.
        """
        self._asked.append((key, path))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._watch_all)

    def _watch_all(self) -> None:
        self._woken = False  # first: what comes from now on wakes it anew
        while self._asked:
            self._watch_here(*self._asked.popleft())

    def _watch_here(self, key: int, path: Path | None) -> None:
        if path is None:
            self._unwatched.pop(key, None)
            self._emptied.remove(key)
            return
        try:
            there = self._emptied.add(path, key)
        except OSError as e:  # fs.inotify.max_user_watches
            if key not in self._unwatched:
                self._tell(f"{path} cannot be watched ({e}): it is looked at every {_UNWATCHED:.0f} s")
            self._unwatched[key] = path
            self._loop.call_later(_UNWATCHED, self._again, key)
            return
        self._unwatched.pop(key, None)
        if not there:
            self._ended([key])

    def _again(self, key: int) -> None:
        if key in self._unwatched:
            self._ended([key])
            self._watch_here(key, self._unwatched[key])

    def _stirred(self) -> None:
        if keys := self._emptied.read():
            self._ended(keys)
