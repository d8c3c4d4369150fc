"""The execs that the daemon was asked about, and until when each of them waits."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from procroute.core.hold_rules import HoldRule
from procroute.kernel.exec_hold import Asked
from procroute.kernel.executing import Executing

ANSWER: Final = 0.75
"""Seconds that the daemon has for an answer."""
_AT_MOST: Final = 5.0
"""So long an exec waits for its turn while the daemon answers others: in seconds."""


class OneExec(NamedTuple):
    """An exec that the daemon was asked about. since: when that was, by the monotonic clock."""

    asked: Asked
    who: Executing
    rules: tuple[HoldRule, ...]
    path: str
    since: float


class Waiting:
    """In the order in which they have asked, which is that in which they are due."""

    def __init__(self) -> None:
        self._execs: dict[int, OneExec] = {}
        self._answered = 0.0

    def __len__(self) -> int:
        return len(self._execs)

    def add(self, event: int, one: OneExec) -> None:
        """The daemon was asked about it, by that number."""
        self._execs[event] = one

    def answered(self, event: int) -> OneExec | None:
        """Who was answered by the daemon, and waits no more; None: he was answered without."""
        one = self._execs.pop(event, None)
        if one is not None:
            self._answered = time.monotonic()
        return one

    def left(self) -> float | None:
        """Seconds until the first one is to be answered without the daemon; None: nobody waits."""
        first = next(iter(self._execs.values()), None)
        return None if first is None else self._until(first) - time.monotonic()

    def due(self) -> list[OneExec]:
        """Those whom the daemon has let wait for too long; they wait no more."""
        now = time.monotonic()
        found = []
        for event, one in self._execs.items():
            if self._until(one) > now:
                break
            found.append(event)
        return [self._execs.pop(event) for event in found]

    def everybody(self) -> list[OneExec]:
        """All of them; they wait no more."""
        execs, self._execs = self._execs, {}
        return list(execs.values())

    def _until(self, one: OneExec) -> float:
        return min(max(one.since, self._answered) + ANSWER, one.since + _AT_MOST)
