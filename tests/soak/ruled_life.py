"""What more may happen in a life where a route rule takes programs. One rule a method of Ruled."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.netns.traffic import FAMILIES
from tests.soak.life import OWNERS, SINGLE, Life, alive, roomy, void
from tests.soak.people import Route
from tests.soak.ruled import Ruled, Way
from tests.soak.setting import WANS

_ways = st.builds(Way, SINGLE, st.booleans())


def ruled(life: RuledLife) -> bool:
    """Whether there is a rule, and a daemon."""
    return life.world.way is not None and alive(life)


class RuledLife(Life):
    """A life in such a world."""

    world: Ruled
    made = Ruled

    def more(self, lots: tuple[int, ...]) -> None:
        """In half of the lives there is a rule from the beginning."""
        adapter, strict, deny, begins = (lot % 2 for lot in lots[:4])
        if begins:
            self.world.put_rule(Way(Route(WANS[adapter], bool(strict)), deny=bool(deny)))

    @precondition(alive)
    @rule(way=_ways)
    def put_rule(self, way: Way) -> None:
        if self._fit(way):
            self._done("rule file", lambda: self.world.put_rule(way), f"{way}")

    @precondition(ruled)
    @rule()
    def drop_rule(self) -> None:
        self._done("rule file removed", self.world.drop_rule)

    @precondition(ruled)
    @rule()
    def switch_rule(self) -> None:
        self._done("rule on or off", self.world.switch_rule)

    @precondition(ruled)
    @rule()
    def bad_rule(self) -> None:
        self._done("bad rule file", self.world.bad_rule)

    @precondition(lambda life: life.world.way is not None)
    @rule()
    def replace_programs(self) -> None:
        def work() -> None:
            self.world.replace_programs()
            self.world.start_programs()

        self._done("replace held programs", work)

    @precondition(lambda life: life.world.way is not None)
    @rule()
    def start_programs(self) -> None:
        self._done("start held programs", self.world.start_programs)

    @precondition(lambda life: roomy(life) and life.world.way is not None)
    @rule(owner=OWNERS)
    def by_rule(self, owner: int) -> None:
        way = self.world.way
        if way is not None and self._fit(way):
            self._done("start by rule", lambda: void(self.world.by_rule(owner)), f"{owner}")

    @precondition(lambda life: ruled(life) and life.world.holds is not None)
    @rule()
    def kill_holder(self) -> None:
        self._done("kill -9 the holder", self.world.kill_holder)

    @precondition(ruled)
    @rule(ms=st.integers(0, 40))
    def kill_while_held(self, ms: int) -> None:
        self._done(
            "kill -9 while an exec is held", lambda: self.world.kill_daemon_while_held(ms / 1000), f"{ms} ms"
        )

    def _fit(self, way: Way) -> bool:
        """Whether there is a way out by it now."""
        adapter = way.route.adapter
        return adapter not in self.world.down and not any(
            (adapter, family) in self.world.off_main | self.world.bare for family in FAMILIES
        )
