"""What was decided without the daemon: said on stderr, and told to the daemon, after those were answered."""

from __future__ import annotations

from collections import deque
from typing import Final

from procroute.holder.report import Report
from procroute.holder.words import Decided

_REMEMBERED: Final = 256
"""Decisions that are kept for a daemon that does not hear."""


class Decisions:
    """untold: how many were not kept for the daemon; who has told it sets this to 0."""

    def __init__(self, report: Report) -> None:
        self.untold = 0
        self._report = report
        self._unsaid: deque[Decided] = deque()
        self._kept: deque[Decided] = deque(maxlen=_REMEMBERED)

    def add(self, one: Decided) -> None:
        """To be said by `next`."""
        self._unsaid.append(one)

    def left(self, hears: bool) -> bool:
        """Whether there is something for `next` to do. hears: whether the daemon can be told."""
        return bool(self._unsaid or (hears and self._kept))

    def next(self, hears: bool) -> Decided | None:
        """Say one on stderr. What the daemon is to be told now, if it hears, the oldest first."""
        if self._unsaid:
            one = self._unsaid.popleft()
            self._report.decided(one)
            self.untold += len(self._kept) == _REMEMBERED
            self._kept.append(one)
        return self._kept.popleft() if hears and self._kept else None
