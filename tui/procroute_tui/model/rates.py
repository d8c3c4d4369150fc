"""Rates out of totals: what was carried between two of the daemon's Traffic events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, TypeVar

from msgspec import Struct

from procroute import protocol
from procroute.protocol import Carried

REMEMBERED: Final = 60
"""So many rates of an adapter are kept, for its line of bars."""

_Key = TypeVar("_Key", str, int)


class Rate(Struct, frozen=True):
    """Bytes a second, and packets that the guard has dropped so far."""

    received: float = 0
    sent: float = 0
    dropped: int = 0


class Rates:
    """Of adapters and routes by name, of assignments by id."""

    def __init__(self) -> None:
        self.adapters: dict[str, Rate] = {}
        self.routes: dict[str, Rate] = {}
        self.assignments: dict[int, Rate] = {}
        self.history: dict[str, deque[Rate]] = {}
        self._last: protocol.Traffic | None = None

    def take(self, traffic: protocol.Traffic) -> None:
        """The next totals. The first ones make no rates yet, but tell what was dropped."""
        last, self._last = self._last, traffic
        seconds = traffic.at - last.at if last is not None else 0.0
        before = last or traffic
        self.adapters = _rates(_by_name(traffic.adapters), _by_name(before.adapters), seconds)
        self.routes = _rates(_by_name(traffic.routes), _by_name(before.routes), seconds)
        self.assignments = _rates(_by_id(traffic.assignments), _by_id(before.assignments), seconds)
        if last is not None:
            for name, rate in self.adapters.items():
                self.history.setdefault(name, deque(maxlen=REMEMBERED)).append(rate)
        for name in self.history.keys() - self.adapters.keys():
            del self.history[name]


def _by_name(totals: Iterable[Carried]) -> dict[str, Carried]:
    return {carried.name: carried for carried in totals}


def _by_id(totals: Iterable[Carried]) -> dict[int, Carried]:
    return {carried.id: carried for carried in totals}


def _rates(now: dict[_Key, Carried], before: dict[_Key, Carried], seconds: float) -> dict[_Key, Rate]:
    rates = {}
    for key, carried in now.items():
        old = before.get(key)
        if old is None or seconds <= 0:
            rates[key] = Rate(dropped=carried.dropped)
            continue
        # Totals that went back are those of another thing of that name.
        received = max(carried.received - old.received, 0) / seconds
        sent = max(carried.sent - old.sent, 0) / seconds
        rates[key] = Rate(received, sent, carried.dropped)
    return rates
