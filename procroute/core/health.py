"""Whether an adapter leads anywhere, from what its checks find. Times are seconds of whatever clock is given.

A check is unknown until it has been made; then up or down, and the other only after so many results in a row
(Pace.up, Pace.down). One that cannot be made for now is unknown again, unless it was down: that it has to
disprove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from procroute.checks import Need, Pace, State

_FIRST_WITHIN: Final = 1.0
"""Seconds within which each check is made for the first time, so that many do not come at once."""


class CheckFound(Struct, frozen=True):
    """A check for people. what: it does."""

    what: str
    state: State
    since: float
    reason: str


class AdapterFound(Struct, frozen=True):
    """An adapter for people, with its checks."""

    name: str
    ifindex: int
    state: State
    since: float
    reason: str
    checks: tuple[CheckFound, ...] = ()


class Health(Struct, frozen=True):
    """State, since when, and why in words.

    against: results in a row that speak against it. made: the check can be made.
    """

    state: State = "unknown"
    since: float = 0.0
    reason: str = "not checked yet"
    against: int = 0
    made: bool = True


def heard(pace: Pace, now: Health, what: str, failure: str, at: float) -> Health:
    """After one more result. what: the check in words. failure: why it failed; empty: it did not."""
    now = replace(now, made=True)
    if bool(failure) == (now.state == "down"):
        if now.state != "unknown":
            return replace(now, against=0)
        return Health("up", at, "")
    against = now.against + 1
    if now.state == "down":
        return Health("up", at, "") if against >= pace.up else replace(now, against=against)
    if against < pace.down:
        return replace(now, against=against)
    more = f", {pace.down} times in a row" if pace.down > 1 else ""
    return Health("down", at, f"{what}: {failure}{more}")


def paused(now: Health, why: str, at: float) -> Health:
    """While it cannot be made. why: in words."""
    if now.state == "down":
        return replace(now, against=0, made=False)
    since = now.since if now.state == "unknown" else at
    return Health("unknown", since, why, made=False)


def overall(need: Need, found: Sequence[Health], before: Health, at: float) -> Health:
    """Of an adapter, from its checks. Those that cannot be made count only where none can be."""
    asked = [h for h in found if h.made] or list(found)
    down = [h for h in asked if h.state == "down"]
    up = [h for h in asked if h.state == "up"]
    enough, lost = (
        (len(up) > 0, len(down) == len(asked))
        if need == "any"
        else (
            len(up) == len(asked),
            len(down) > 0,
        )
    )
    state: State = "unknown" if not asked else "down" if lost else "up" if enough else "unknown"
    decided = [] if state == "up" else down if state == "down" else asked
    reason = "; ".join(dict.fromkeys(h.reason for h in decided if h.reason))
    return Health(state, before.since if before.state == state else at, reason)


def pause(pace: Pace, seed: str, number: int) -> float:
    """Seconds from one start of a check to the next; number 0: to the first. Equal words, equal seconds.

    Never longer than the interval, so that what has happened is found in time.
    """
    turn = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big") / 2**32
    if number == 0:
        return turn * min(_FIRST_WITHIN, pace.interval)
    return pace.interval * (1 - pace.jitter * turn)
