"""What the results of checks make of a check and of an adapter: pure, so every order of them can be tried."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.checks import Pace
from procroute.core.health import Health, heard, overall, pause, paused

pytestmark = pytest.mark.promise("HEALTH-05")
WHAT, LOST = "ping 192.0.2.1", "no answer in 2 s"
PACES = st.builds(
    Pace,
    interval=st.floats(0.2, 3600),
    up=st.integers(1, 6),
    down=st.integers(1, 6),
    jitter=st.floats(0, 0.9),
)
STATES = ("unknown", "up", "down")
RESULTS = st.lists(st.booleans(), max_size=60)


def after(pace: Pace, results: list[bool]) -> list[Health]:
    """The health after each of these results, one a second; True: it was answered."""
    now, found = Health(), []
    for at, good in enumerate(results, 1):
        now = heard(pace, now, WHAT, "" if good else LOST, at)
        found.append(now)
    return found


@given(PACES, RESULTS)
def test_it_changes_only_after_so_many_in_a_row_and_then_it_does(pace: Pace, results: list[bool]) -> None:
    """The same told by the results alone: how many equal ones have come last, and the state before."""
    state = "unknown"
    for at, now in enumerate(after(pace, results)):
        good = results[at]
        streak = next((n for n in range(at + 1) if results[at - n] is not good), at + 1)
        if (state == "unknown" and good) or (state == "down" and good and streak >= pace.up):
            state = "up"
        elif state != "down" and not good and streak >= pace.down:
            state = "down"
        assert now.state == state


@given(PACES, RESULTS)
def test_since_is_when_it_changed_and_the_reason_is_there_while_it_is_down(
    pace: Pace, results: list[bool]
) -> None:
    for before, now in pairwise([Health(), *after(pace, results)]):
        assert (now.since != before.since) == (now.state != before.state)
        assert bool(now.reason) == (now.state != "up")
    for at, now in enumerate(after(pace, results), 1):
        assert now.since <= at


def test_the_reason_is_in_words() -> None:
    assert after(Pace(down=3), [False] * 3)[-1].reason == "ping 192.0.2.1: no answer in 2 s, 3 times in a row"
    assert after(Pace(down=1), [False])[-1].reason == "ping 192.0.2.1: no answer in 2 s"


@given(PACES, RESULTS)
def test_what_cannot_be_made_is_unknown_but_what_was_down_stays_so(pace: Pace, results: list[bool]) -> None:
    now = [Health(), *after(pace, results)][-1]
    still = paused(now, "wan1 has no carrier", 100)
    assert not still.made
    assert still.state == ("down" if now.state == "down" else "unknown")
    assert still.reason == (now.reason if now.state == "down" else "wan1 has no carrier")
    assert still.since == (100 if now.state == "up" else now.since)
    # It has the same to prove as before, and no half of it counts.
    again = [heard(pace, still, WHAT, "", 101)]
    while len(again) < pace.up:
        again.append(heard(pace, again[-1], WHAT, "", 101))
    expected = ["down"] * (pace.up - 1) + ["up"] if now.state == "down" else ["up"] * pace.up
    assert [h.state for h in again] == expected


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.booleans()), max_size=6), st.sampled_from(["any", "all"])
)
def test_an_adapter_is_what_its_checks_are(kinds: list[tuple[str, bool]], need: str) -> None:
    found = [Health(state, 5, state, made=made) for state, made in kinds]  # type: ignore[arg-type]
    asked = [h.state for h in found if h.made] or [h.state for h in found]
    now = overall(need, found, Health(), 9)  # type: ignore[arg-type]
    if need == "any":
        expected = "up" if "up" in asked else "down" if asked and set(asked) == {"down"} else "unknown"
    else:
        expected = "down" if "down" in asked else "up" if asked and set(asked) == {"up"} else "unknown"
    assert now.state == expected
    assert now.since == (9 if expected != "unknown" else 0)
    assert overall(need, found, now, 10).since == now.since, "it has not changed"  # type: ignore[arg-type]
    assert now.state != "down" or now.reason == "down"


@given(PACES, st.text(max_size=20), st.integers(0, 1000))
def test_jitter_is_of_the_seed_and_never_makes_it_late(pace: Pace, seed: str, number: int) -> None:
    seconds = pause(pace, seed, number)
    assert seconds == pause(pace, seed, number)
    assert 0 <= seconds <= pace.interval
    if number:
        assert seconds >= pace.interval * (1 - pace.jitter) - 1e-9


def test_jitter_spreads() -> None:
    """Of 200 checks that begin together none second has more than three times its share, soon or late."""
    pace = Pace(interval=10, jitter=0.2)
    starts = []
    for check in range(200):
        at = pause(pace, f"wan{check}", 0)
        for number in range(1, 20):
            at += pause(pace, f"wan{check}", number)
        starts.append(at)
    busiest = max(sum(second <= at < second + 1 for at in starts) for second in range(math.ceil(max(starts))))
    assert busiest <= 60
    assert len({round(pause(pace, f"wan{check}", 0), 3) for check in range(200)}) > 150
