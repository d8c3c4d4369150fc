"""What more may happen in a life with a tunnel over a route. One rule a method of Tunnelled."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis.stateful import precondition, rule

from tests.soak.course import Course
from tests.soak.life import FAMILY, ROUTES, Life, alive
from tests.soak.people import Route
from tests.soak.ruled_life import RuledLife
from tests.soak.tunnelled import Tunnelled
from tests.soak.world import World


def tunnelled(life: Life) -> bool:
    """Whether there is a tunnel, and a daemon."""
    return isinstance(life.world, Tunnelled) and life.world.over is not None and alive(life)


class TunnelledLife(RuledLife):
    """A life in such a world."""

    world: Tunnelled
    made = Tunnelled

    @precondition(alive)
    @rule(way=ROUTES, family=FAMILY)
    def put_tunnel(self, way: Route, family: int) -> None:
        if not self.no_way(way):
            self._done("tunnel starts", lambda: self.world.put_tunnel(way, family), f"{way.via} IPv{family}")

    @precondition(tunnelled)
    @rule(way=ROUTES)
    def move_tunnel(self, way: Route) -> None:
        if not self.no_way(way):
            self._done("tunnel over another route", lambda: self.world.move_tunnel(way), way.via)

    @precondition(tunnelled)
    @rule()
    def drop_tunnel(self) -> None:
        self._done("tunnel ends", self.world.drop_tunnel)


def life_of(course: Course, sabotage: Callable[[World], object] = lambda world: None) -> type[Life]:
    """The lives of a course."""
    return type("Life", (TunnelledLife,), {"course": course, "sabotage": staticmethod(sabotage)})
