"""With a mechanism switched off the oracle of the soak goes red; with all of them on it is green before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab.patience import FACTOR
from tests.netns.running import until
from tests.netns.traffic import FAMILIES
from tests.soak import oracle
from tests.soak.course import Course
from tests.soak.people import Route
from tests.soak.ruled import Ruled, Way
from tests.soak.tally import Tally
from tests.soak.tunnelled_life import life_of
from tests.soak.world import World

promise = pytest.mark.promise


@pytest.fixture
def world() -> Iterator[World]:
    """Somebody by wan1 and a bystander, by wan2; all is as it should be."""
    with World(Tally()) as world:
        world.stay()
        world.run(Route("wan1"))
        oracle.check(world)
        yield world


def both_leak(world: World, whose: str) -> None:
    """It is seen in both families."""
    found: set[int] = set()

    def seen() -> bool:
        lines = oracle.traffic(world)
        found.update(f for f in FAMILIES if any(whose in t and f"family={f}" in t for t in lines))
        return found == set(FAMILIES)

    until(seen, what=f"a leak of {whose}")


@promise("SOAK-02", "NEG-07")
def test_without_mark_and_guard(world: World) -> None:
    world.freeze()
    routed = world.people[1]
    world.detach(routed, "mark", "guard")
    world.lab.sh("nft delete table inet procroute 2>/dev/null || true")  # the belt marks, too
    both_leak(world, routed.name)
    assert [line for line in oracle.answers(world) if "wan2 answered, not wan1" in line]


@promise("SOAK-02", "NEG-07")
def test_without_guard_and_rules(world: World) -> None:
    world.freeze()
    routed = world.people[1]
    world.detach(routed, "guard")
    world.damage("delete all rules")
    both_leak(world, routed.name)


@promise("SOAK-03", "NEG-07")
def test_with_a_rule_that_catches_bystanders(world: World) -> None:
    world.freeze()
    for family in FAMILIES:
        world.lab.ip(f"-{family} rule add pref 1 lookup 7301")
    both_leak(world, world.people[0].name)


@promise("SOAK-04", "NEG-07")
def test_with_a_daemon_that_is_stopped(world: World) -> None:
    world.freeze()
    world.damage("delete the IPv4 rules")
    assert "ip rules" in oracle.kernel(world, 2 * FACTOR)[0]
    world.freeze(False)
    assert not oracle.kernel(world)


@promise("SOAK-04", "NEG-07")
def test_repairs_that_are_late() -> None:
    assert not oracle.late([])
    assert not oracle.late([(0.2, 0.01), (0.2, 0.01), (3.0, 0.01)])
    assert oracle.late([(0.2, 0.01), (3.0, 0.01), (3.0 * FACTOR, 0.01)]) or FACTOR > 1
    assert not oracle.late([(3.0, 0.5), (3.0, 0.5)])


@promise("SOAK-05", "NEG-07")
def test_with_something_left_behind(world: World) -> None:
    assert not world.finish()
    world.lab.ip("-6 rule add pref 4410 fwmark 0x2000000/0xfe000000 lookup 7301 protocol 112")
    assert world.different().keys() == {"rules6"}
    world.lab.ip("-6 rule del pref 4410")
    assert not world.different()


@promise("SOAK-06", "NEG-07")
def test_without_the_hold() -> None:
    """The holder is stopped, and the kernel lets all starts go on."""
    with Ruled(Tally()) as world:
        world.prepare()
        world.put_rule(Way(Route("wan1"), deny=True))
        world.start_programs()
        world.freeze()
        world.end_holder()
        with pytest.raises(AssertionError, match=r"first4: (router2|wan2)"):
            world.start_programs()
        world.freeze(False)


@promise("SOAK-01", "NEG-07")
def test_hypothesis_finds_it_too() -> None:
    """In lives of its own making, where each action is followed by the sabotage."""

    def sabotage(world: World) -> None:
        world.people[0].join(None)
        for family in FAMILIES:
            world.lab.ip(f"-{family} rule add pref 1 lookup main suppress_prefixlength 0")
            world.lab.ip(f"-{family} rule add pref 2 unreachable")

    course = Course(60, at_least=1, at_most=600 * FACTOR, say=lambda line: None)
    with pytest.raises(AssertionError, match="the first failure"):
        course.live(life_of(course, sabotage), 1, shrink=False)
    assert "no answer" in course.failures[0]
