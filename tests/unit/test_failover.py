"""Which of its adapters a route leaves by: decided from facts, without a clock."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from procroute.core import failover
from procroute.core.machine import Machine
from procroute.core.overlap import text
from procroute.core.rules import desired_rules
from procroute.engine.switching import Steadiness
from procroute.identity import Identity
from procroute.model import Adapter, LiveRoute, OnDown, Route
from tests.plans import words

pytestmark = pytest.mark.promise("FAIL-01")
NAMES = ("wan1", "wan2", "wg0")
INDEX = {name: n for n, name in enumerate(NAMES, 2)}
NEXT = Route("wan1", others=("wan2", "wg0"))
STEADY = frozenset((n, NEXT.hold) for n in INDEX.values())
HOLD_OF_10 = NEXT.hold


def adapter(name: str, *, carrier: bool = True) -> Adapter:
    n = INDEX[name]
    return words.adapter(name, n, f"198.51.{n}.2/24", f"2001:db8:{n}::2/64", carrier=carrier)


def machine(
    *able: str, steady: frozenset[tuple[int, float]] = frozenset(), ailing: frozenset[int] = frozenset()
) -> Machine:
    """All three are there; these carry."""
    main = [f"{to} via {by} dev {name}" for name in able for to, by in gateways(INDEX[name])]
    return words.machine(
        *(adapter(name, carrier=name in able) for name in NAMES), main=main, steady=steady, ailing=ailing
    )


def gateways(n: int) -> list[tuple[str, str]]:
    return [("0.0.0.0/0", f"198.51.{n}.1"), ("::/0", f"2001:db8:{n}::1")]


def leaves(live: LiveRoute) -> str:
    return "main" if live.by_main else NAMES[live.ifindex - 2]


def went(*steps: Machine, route: Route = NEXT) -> list[str]:
    """By which it leaves after each of these."""
    live, found = LiveRoute(route, 1), []
    for now in steps:
        live = failover.chosen(now, live)
        found.append(leaves(live))
    return found


def test_it_leaves_by_the_first_that_is_a_way_out() -> None:
    assert went(machine("wan1", "wan2", "wg0")) == ["wan1"]
    assert went(machine("wg0", "wan2")) == ["wan2"]
    assert went(machine("wg0")) == ["wg0"]
    assert went(machine()) == ["wan1"]


def test_it_leaves_at_once_and_comes_back_when_that_was_steady() -> None:
    lost, back = machine("wan2", "wg0"), machine(*NAMES)
    assert went(back, lost, back, replace(back, steady=STEADY)) == ["wan1", "wan2", "wan2", "wan1"]
    # Steady for other routes' hold time says nothing.
    assert went(back, lost, replace(back, steady=frozenset({(2, 3.0)}))) == ["wan1", "wan2", "wan2"]


def test_from_what_is_none_it_goes_to_the_first_however_young() -> None:
    assert went(machine("wan2"), machine("wan1", "wg0")) == ["wan2", "wan1"]


def test_where_none_is_left_it_stays() -> None:
    assert went(machine("wan2"), machine()) == ["wan2", "wan2"]


def test_what_a_health_check_found_dead_is_none() -> None:
    well = machine(*NAMES, ailing=frozenset({2}))
    assert went(machine(*NAMES), well, replace(well, ailing=frozenset())) == ["wan1", "wan2", "wan2"]
    assert "does not pass its health check" in failover.why_not(well, adapter("wan1"), "", LiveRoute(NEXT, 1))


def test_one_that_blocks_stays() -> None:
    blocks = replace(NEXT, on_down=OnDown.BLOCK)
    steps = (machine("wan2", "wg0"), machine("wan1", steady=STEADY), machine(*NAMES, steady=STEADY))
    assert went(*steps, route=blocks) == ["wan2"] * 3


def test_main_is_the_last_of_the_list() -> None:
    by_main = Route("wan1", others=("wan2",), on_down=OnDown.MAIN)
    steps = (machine("wan1"), machine(), machine("wan2"), machine("wan2", steady=STEADY))
    assert went(*steps, route=by_main) == ["wan1", "main", "main", "wan2"]
    assert went(machine(), route=Route("wan1", on_down=OnDown.MAIN)) == ["main"]


@given(st.lists(st.tuples(st.sets(st.sampled_from(NAMES)), st.booleans()), min_size=1, max_size=12))
def test_whatever_happens(course: list[tuple[set[str], bool]]) -> None:
    """By a way out where there is one; to an earlier one from a way out only when that is steady."""
    live = LiveRoute(NEXT, 1)
    for able, steady in course:
        now = machine(*able, steady=STEADY if steady else frozenset())
        before, live = live, failover.chosen(now, live)
        assert leaves(live) in able or not able
        old, new = failover.place_of(before), failover.place_of(live)
        assert new is not None
        if old is not None and NAMES[old] in able:
            assert new == old or (new < old and steady)
        assert failover.chosen(now, live) == live


def test_a_switch_is_told_with_its_reason() -> None:
    both = failover.chosen(machine(*NAMES), LiveRoute(NEXT, 1))
    lost = machine("wan2", "wg0")
    now = failover.chosen(lost, both)
    assert failover.switch_words(lost, both, now) == "wan1 has no carrier: wan1,wan2,wg0 leaves by wan2"
    back = machine(*NAMES, steady=STEADY)
    again = failover.chosen(back, now)
    assert failover.switch_words(back, now, again) == (
        "wan1 has been a way out for 10 s: wan1,wan2,wg0 leaves by wan1"
    )
    assert not failover.switch_words(back, again, again)


def test_rules_for_what_goes_on_are_only_of_adapters_that_were_left() -> None:
    identity, start = Identity(), machine(*NAMES)
    live = failover.chosen(start, LiveRoute(NEXT, 1))
    assert not going_on(identity, start, live)
    lost = machine("wan2", "wg0", ailing=frozenset())
    live = failover.chosen(replace(start, ailing=frozenset({2})), live)
    assert leaves(live) == "wan2"
    both = {"198.51.2.2", "2001:db8:2::2"}
    assert going_on(identity, replace(start, ailing=frozenset({2})), live) == both
    # About to go back: the present one's, too, so that no packet meets a gap.
    assert going_on(identity, start, live) == both | {"198.51.3.2", "2001:db8:3::2"}
    assert going_on(identity, lost, live) <= both


def going_on(identity: Identity, here: Machine, live: LiveRoute) -> set[str]:
    """The sources of the rules at 281."""
    at = identity.preference + 281
    found = (r for r in desired_rules(identity, here, [live]) if r.preference == at)
    return {text(r).split("from ")[1].split()[0].split("/")[0] for r in found}


def test_steady_is_who_was_able_for_the_hold_time_without_a_break() -> None:
    watch, live = Steadiness(), failover.chosen(machine("wan2"), LiveRoute(NEXT, 1))
    both, lost = machine("wan1", "wan2"), machine("wan2")
    assert watch.look(lost, [live], 0) == frozenset()
    assert watch.look(both, [live], 3) == frozenset()
    assert watch.due(both, [live], 3) == 3 + HOLD_OF_10
    assert watch.due(both, [live], 3 + HOLD_OF_10) is None
    assert watch.look(both, [live], 12) == {(3, HOLD_OF_10)}
    assert watch.look(lost, [live], 12.5) == {(3, HOLD_OF_10)}
    assert watch.look(both, [live], 13.5) == {(3, HOLD_OF_10)}
    assert watch.look(both, [live], 23.5) == {(2, HOLD_OF_10), (3, HOLD_OF_10)}


def test_the_same_list_is_the_same_route() -> None:
    assert Route("a", others=("b",), on_down=OnDown.NEXT).plain == Route("a", others=("b",))
    assert Route("a", on_down=OnDown.BLOCK, reset=True, hold=3).plain == Route("a")
    for other in (OnDown.BLOCK, OnDown.MAIN):
        route = Route("a", others=("b",), on_down=other, reset=True, hold=3)
        assert route.plain == route
    names = [
        Route("a", others=("b",)).name,
        Route("b", others=("a",)).name,
        Route("a", on_down=OnDown.MAIN).name,
    ]
    names += [Route("a", others=("b",), reset=True).name, Route("a", others=("b",), hold=3).name]
    assert names[:2] == ["a,b", "b,a"]
    assert all(one != other for one, other in pairwise(sorted(names)))
