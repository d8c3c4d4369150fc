"""A life as hypothesis makes it up: which actions, on whom, in which order; after each the oracle looks.

One rule a method of World. A later part of procroute adds its own here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from procroute.lab import WAN1, WAN2
from tests.netns.daemons import ALICE
from tests.netns.traffic import FAMILIES
from tests.soak import oracle
from tests.soak.course import Course
from tests.soak.deeds import DAMAGE
from tests.soak.people import Person, Route
from tests.soak.setting import WANS
from tests.soak.world import BAD, LINES, World

_MOST = 5
"""People at once."""
_DNS = {"wan1": WAN1.dns4, "wan2": WAN2.dns4}
_which = st.integers(0, 99)
_adapter = st.sampled_from(WANS)
FAMILY = st.sampled_from(FAMILIES)
_lots = st.tuples(*[st.integers(0, 1 << 16)] * 6)
_existing = st.sampled_from(["keep", "reset"])
OWNERS = st.sampled_from([0, ALICE])
SINGLE = st.builds(
    lambda adapter, strict, dns: Route(adapter, strict, _DNS[adapter] if dns else ""),
    _adapter,
    st.booleans(),
    st.booleans(),
)
ROUTES = st.one_of(SINGLE, st.sampled_from(list(LINES.values())))


def alive(life: Life) -> bool:
    """Whether a daemon lives."""
    return life.world.daemon is not None


def roomy(life: Life) -> bool:
    """Whether somebody can be added."""
    return len(life.world.people) < _MOST


def routed(life: Life) -> bool:
    """Whether somebody is on a route."""
    return any(one.route for one in life.world.people)


class Life(RuleBasedStateMachine):
    """made: of which kind its world is; course: whose life this is; sabotage: done to it before each look."""

    made: ClassVar[type[World]] = World
    course: ClassVar[Course]
    sabotage: ClassVar[Callable[[World], object]]

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []
        self.world: World

    # --- beginning and end

    @initialize(rp_filter=st.sampled_from([0, 1, 2]), lots=_lots)
    def begin(self, rp_filter: Literal[0, 1, 2], lots: tuple[int, ...]) -> None:
        # Hypothesis begins with the simplest lives, of one rule over and over: those take a minute each.
        assume(len(set(lots)) == len(lots))

        def made() -> None:
            world = self.made(self.course.tally, rp_filter)
            world.__enter__()
            self.world = world
            world.prepare()
            world.stay()
            self.more(lots)

        self._done("begin", made, f"rp_filter {rp_filter}")
        self.course.lives += 1

    def more(self, lots: tuple[int, ...]) -> None:
        """What else a world begins with."""

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        failed = bool(self.steps and self.steps[-1].startswith("FAILED"))
        try:
            if not failed:
                self._attempt("finish", self._finish)
        finally:
            self.world.__exit__(None, None, None)

    def _finish(self) -> None:
        different = self.world.finish()
        assert not different, f"not gone after cleanup: {different}"
        self.course.tally.checks["everything gone"] += 1

    # --- people

    @precondition(roomy)
    @rule(route=ROUTES, owner=OWNERS)
    def run(self, route: Route, owner: int) -> None:
        world = self.world
        owner = owner if alive(self) else 0  # without a daemon root runs by an engine in the command
        if self.no_way(route):
            return
        self._done("run", lambda: void(world.run(route, owner)), f"{route.options} by {owner}")

    @precondition(roomy)
    @rule(owner=OWNERS)
    def stay(self, owner: int) -> None:
        self._done("stay", lambda: void(self.world.stay(owner)), f"{owner}")

    @precondition(roomy)
    @rule(which=_which)
    def bear(self, which: int) -> None:
        parent = self._somebody(which)
        self._done("fork", lambda: void(self.world.bear(parent)), parent.name)

    @precondition(lambda life: len(life.world.people) > 1)
    @rule(which=_which)
    def end(self, which: int) -> None:
        person = self.world.people[1 + which % (len(self.world.people) - 1)]  # the first one stays
        self._done("end", lambda: self.world.end(person), person.name)

    @rule(which=_which)
    def renew(self, which: int) -> None:
        person = self._somebody(which)
        self._done("renew sockets", lambda: self.world.renew(person), person.name)

    # --- the daemon is asked

    @precondition(alive)
    @rule(which=_which, route=ROUTES, existing=_existing, tree=st.booleans())
    def assign(self, which: int, route: Route, existing: str, tree: bool) -> None:
        world, person = self.world, self._somebody(which)
        if self.no_way(route):
            return
        self._done(
            "assign, tree" if tree else "assign",
            lambda: world.assign(person, route, existing=existing, tree=tree),
            f"{person.name} {route.options} {existing}",
        )

    @precondition(lambda life: alive(life) and routed(life))
    @rule(which=_which, existing=_existing)
    def release(self, which: int, existing: str) -> None:
        person = self._somebody(which, lambda one: one.route is not None)
        self._done(
            "release", lambda: self.world.release(person, existing=existing), f"{person.name} {existing}"
        )

    # --- the daemon's own end

    @precondition(alive)
    @rule()
    def kill(self) -> None:
        self._done("kill -9 the daemon", self.world.kill_daemon)

    @precondition(alive)
    @rule()
    def stop(self) -> None:
        self._done("stop the daemon", self.world.stop_daemon)

    @precondition(lambda life: not alive(life))
    @rule()
    def start(self) -> None:
        self._done("start a daemon", self.world.start_daemon)

    @precondition(lambda life: not alive(life))
    @rule()
    def start_soon(self) -> None:
        """So that most of a life has one."""
        self._done("start a daemon", self.world.start_daemon)

    @precondition(alive)
    @rule(which=_which, route=ROUTES, ms=st.integers(0, 400))
    def interrupt(self, which: int, route: Route, ms: int) -> None:
        world = self.world
        person = self._somebody(which)
        if self.no_way(route):
            return
        self._done(
            "kill -9 while it assigns",
            lambda: world.interrupt(person, route, ms / 1000),
            f"{person.name} {route.options} after {ms} ms",
        )

    @precondition(alive)
    @rule(text=st.sampled_from(["", "packet_marks = false", BAD]), by_signal=st.booleans())
    def reload(self, text: str, by_signal: bool) -> None:
        self._done("reload", lambda: self.world.reload(text, by_signal=by_signal), repr(text))

    # --- others' deeds, and the machine's

    @rule(name=st.sampled_from(sorted(DAMAGE)))
    def damage(self, name: str) -> None:
        self._done(name, lambda: self.world.damage(name))

    @precondition(lambda life: len(life.world.down) < len(WANS))
    @rule(which=_which)
    def down(self, which: int) -> None:
        up = [wan for wan in WANS if wan not in self.world.down]
        adapter = up[which % len(up)]
        self._done("adapter down", lambda: self.world.adapter_down(adapter), adapter)

    @precondition(lambda life: len(life.world.down) < len(WANS))
    @rule(which=_which)
    def carrier(self, which: int) -> None:
        up = [wan for wan in WANS if wan not in self.world.down]
        adapter = up[which % len(up)]
        self._done("carrier lost", lambda: self.world.lose_carrier(adapter), adapter)

    @precondition(lambda life: life.world.off_main or life.world.bare or life.world.down)
    @rule(which=_which)
    def up(self, which: int) -> None:
        hurt = sorted({adapter for adapter, _ in self.world.off_main | self.world.bare} | self.world.down)
        adapter = hurt[which % len(hurt)]
        self._done("adapter up again", lambda: self.world.adapter_up(adapter), adapter)

    @rule(adapter=_adapter, family=FAMILY)
    def drop_address(self, adapter: str, family: int) -> None:
        if adapter in self.world.down or (adapter, family) in self.world.bare:
            return
        self._done(
            "address removed", lambda: self.world.drop_address(adapter, family), f"{adapter} IPv{family}"
        )

    @rule(adapter=_adapter, family=FAMILY)
    def drop_gateway(self, adapter: str, family: int) -> None:
        if adapter in self.world.down or (adapter, family) in self.world.off_main:
            return
        self._done(
            "default out of main", lambda: self.world.drop_gateway(adapter, family), f"{adapter} IPv{family}"
        )

    # --- how each is done

    def no_way(self, route: Route) -> bool:
        """Whether a route could not be opened now."""
        lost = route.adapter in self.world.down
        lost = lost or any((route.adapter, family) in self.world.off_main for family in FAMILIES)
        return lost and not route.others

    def _somebody(self, which: int, fit: Callable[[Person], bool] = lambda one: True) -> Person:
        found = [one for one in self.world.people if fit(one)]
        return found[which % len(found)]

    def _done(self, action: str, work: Callable[[], None], detail: str = "") -> None:
        self.course.next(action)

        def whole() -> None:
            work()
            type(self).sabotage(self.world)
            oracle.check(self.world)

        self._attempt(f"{action} {detail}".rstrip(), whole)

    def _attempt(self, step: str, work: Callable[[], None]) -> None:
        self.steps.append(step)
        try:
            work()
        except Exception as e:
            self.course.failed(self.steps, e)
            self.steps.append("FAILED")
            raise


def void(_: object) -> None:
    """Whatever it is."""
