"""The execs that the daemon was asked about, and until when each of them waits.

ANSWER seconds from when it was asked, or from its answer to another one, or from when it said that it is at
it: it waits for systemd, or for who has the lock. Never longer than _AT_MOST.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from procroute.core.hold_rules import HoldRule
from procroute.kernel.exec_hold import Asked, ExecHold
from procroute.kernel.executing import Executing

ANSWER: Final = 0.75
"""Seconds that the daemon has for an answer."""
_AT_MOST: Final = 5.0
"""So long an exec waits for its turn while the daemon answers others or is at it: in seconds."""


class OneExec(NamedTuple):
    """An exec that the daemon was asked about. hold: by which it is held; since: when that was, by the
    monotonic clock."""

    hold: ExecHold
    asked: Asked
    who: Executing
    rules: tuple[HoldRule, ...]
    path: str
    since: float


class Waiting:
    """In the order in which they have asked."""

    def __init__(self) -> None:
        self._execs: dict[int, OneExec] = {}
        self._busy: dict[int, float] = {}
        self._answered = 0.0

    def __len__(self) -> int:
        return len(self._execs)

    def add(self, event: int, one: OneExec) -> None:
        """The daemon was asked about it, by that number."""
        self._execs[event] = one

    def answered(self, event: int) -> OneExec | None:
        """Who was answered by the daemon, and waits no more; None: he was answered without."""
        self._busy.pop(event, None)
        one = self._execs.pop(event, None)
        if one is not None:
            self._answered = time.monotonic()
        return one

    def busy(self, events: Iterable[int]) -> None:
        """The daemon is at these."""
        self._busy.update(dict.fromkeys(self._execs.keys() & set(events), time.monotonic()))

    def left(self) -> float | None:
        """Seconds until the first one is to be answered without the daemon; None: nobody waits."""
        until = min((self._until(event, one) for event, one in self._execs.items()), default=None)
        return None if until is None else until - time.monotonic()

    def due(self) -> list[OneExec]:
        """Those whom the daemon has let wait for too long; they wait no more."""
        now = time.monotonic()
        found = [event for event, one in self._execs.items() if self._until(event, one) <= now]
        for event in found:
            self._busy.pop(event, None)
        return [self._execs.pop(event) for event in found]

    def everybody(self) -> list[OneExec]:
        """All of them; they wait no more."""
        execs, self._execs = self._execs, {}
        self._busy.clear()
        return list(execs.values())

    def _until(self, event: int, one: OneExec) -> float:
        heard = max(one.since, self._answered, self._busy.get(event, 0))
        return min(heard + ANSWER, one.since + _AT_MOST)
