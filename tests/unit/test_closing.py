"""Routes that nobody uses any more are closed together, and looked at seldom where connections were kept."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procroute.daemon import closing
from procroute.daemon.closing import Closing
from procroute.daemon.routes import OpenRoute
from procroute.identity import Identity
from procroute.model import LiveRoute, Route

ROUTES = [OpenRoute(LiveRoute(Route(f"wan{n}"), n), Path(f"/{n}"), -1) for n in range(1, 101)]


class Register:
    """Notes what ends."""

    def __init__(self) -> None:
        self.ended: list[int] = []

    def tidy(self) -> None: ...
    def watch(self, number: int, path: None) -> None: ...
    def end_with(self, number: int) -> None:
        self.ended.append(number)


class Routes:
    """All of these routes are unused; closed: what was closed together, each time."""

    unsettled = False
    kept: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.closed: list[list[int]] = []

    def unused(self, _: Collection[int] = ()) -> list[OpenRoute]:
        return ROUTES

    def with_paths(self, some: Iterable[OpenRoute]) -> Iterator[tuple[OpenRoute, list[Path]]]:
        return ((found, [found.path]) for found in some)

    def close(self, numbers: Collection[int]) -> None:
        self.closed.append([*numbers])


@pytest.mark.promise("DAEMON-02")
def test_a_hundred_are_closed_together_but_for_what_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def populated(path: Path) -> bool:
        return path == Path("/7")

    def none(*_: object) -> Iterator[Any]:
        return iter(())

    monkeypatch.setattr("procroute.kernel.cgroups.populated", populated)
    monkeypatch.setattr(closing, "lock", lambda _: contextlib.nullcontext())
    monkeypatch.setattr("procroute.kernel.sockets.with_mark", none)
    routes, register = Routes(), Register()
    linux: Any = SimpleNamespace(identity=Identity(), mount=Path("/"))
    assert Closing(linux, routes, register, print).close_unused() is None  # type: ignore[arg-type]
    expected = [n for n in range(1, 101) if n != 7]
    assert routes.closed == [expected]
    assert register.ended == expected
