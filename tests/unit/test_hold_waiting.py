"""Until when execs wait for the daemon, and what is told of those that were decided without it."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from procroute.holder import waiting
from procroute.holder.decisions import Decisions
from procroute.holder.report import Report
from procroute.holder.waiting import ANSWER, OneExec, Waiting
from procroute.holder.words import Decided
from procroute.kernel.exec_hold import Asked, ExecHold
from procroute.kernel.executing import Executing


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which they wait."""
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def _exec(clock: Clock) -> OneExec:
    return OneExec(Mock(spec=ExecHold), Asked(-1, 1, -1), Executing(1, 1, 1, (0, 0)), (), "/x", clock.now)


def test_who_is_due_waits_no_more(clock: Clock) -> None:
    some = Waiting()
    assert some.left() is None
    first = _exec(clock)
    some.add(1, first)
    clock.now += 0.5
    some.add(2, _exec(clock))
    assert some.left() == pytest.approx(ANSWER - 0.5)
    assert some.due() == []
    clock.now += ANSWER - 0.4
    assert some.due() == [first]
    assert some.left() == pytest.approx(0.4)
    assert some.answered(1) is None


def test_whoever_is_answered_gives_the_others_time_but_not_for_ever(clock: Clock) -> None:
    some = Waiting()
    for event in range(12):
        some.add(event, _exec(clock))
    for event in range(10):
        clock.now += 0.45
        assert some.due() == []
        assert some.answered(event) is not None
    assert some.left() == pytest.approx(0.5), "five seconds at most"
    assert len(some.everybody()) == 2
    assert len(some) == 0


def test_what_the_daemon_is_at_is_due_after_what_came_later(clock: Clock) -> None:
    some = Waiting()
    one, two = _exec(clock), _exec(clock)
    some.add(1, one)
    some.add(2, two)
    clock.now += 0.5
    some.busy([1, 3])
    clock.now += 0.5
    assert some.due() == [two]
    assert some.left() == pytest.approx(ANSWER - 0.5)
    for _ in range(10):
        some.busy([1])
        clock.now += 0.42
    assert some.due() == [one], "five seconds at most"


def _decided(number: int) -> Decided:
    return Decided(number + 1, 1, ("k",), "/x", False, "late", 0.0)


def test_decisions_are_kept_for_a_daemon_that_does_not_hear(capfd: pytest.CaptureFixture[str]) -> None:
    some = Decisions(Report())
    for number in range(300):
        some.add(_decided(number))
        assert some.left(hears=False)
        assert some.next(hears=False) is None
    assert not some.left(hears=False)
    assert "PID 1: /x was denied (k)" in capfd.readouterr().err
    assert some.untold == 300 - 256
    told = []
    while some.left(hears=True):
        told.append(some.next(hears=True))
    assert told == [_decided(number) for number in range(300 - 256, 300)]
