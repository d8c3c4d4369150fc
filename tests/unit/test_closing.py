"""Routes that nobody uses any more are closed together, and looked at seldom where connections were kept."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procroute.daemon import closing
from procroute.daemon.closing import Closing
from procroute.daemon.routes import OpenRoute
from procroute.identity import Identity
from procroute.kernel import sockets
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.model import LiveRoute, Route

ROUTES = [OpenRoute(LiveRoute(Route(f"wan{n}"), n), Path(f"/{n}"), -1) for n in range(1, 101)]


class Register:
    """Notes what ends."""

    def __init__(self) -> None:
        self.ended: list[int] = []

    def tidy(self) -> None: ...
    def watch(self, number: int, path: None) -> None: ...
    def unwatch_route(self, found: OpenRoute) -> None: ...
    def end_with(self, number: int) -> None:
        self.ended.append(number)


class Routes:
    """All of these routes are unused; closed: what was closed together, each time."""

    unsettled = False
    kept: frozenset[int] = frozenset()
    checked: frozenset[int] = frozenset()
    outer: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.closed: list[list[int]] = []

    def unused(self, _: Collection[int] = ()) -> list[OpenRoute]:
        return ROUTES

    def with_paths(self, some: Iterable[OpenRoute]) -> Iterator[tuple[OpenRoute, list[Path]]]:
        return ((found, [found.path]) for found in some)

    def close(self, numbers: Collection[int]) -> None:
        self.closed.append([*numbers])


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> list[sockets.InetSocket]:
    """The TCP sockets with the first route's mark. No lock is taken, and one route is in use again."""
    found: list[sockets.InetSocket] = []

    def populated(path: Path) -> bool:
        return path == Path("/7")

    def with_mark(protocol: int, mark: int, _: int) -> Iterator[sockets.InetSocket]:
        return iter(found if protocol == sockets.TCP and mark == Identity().mark(1) else ())

    monkeypatch.setattr("procroute.kernel.cgroups.populated", populated)
    monkeypatch.setattr(closing, "lock", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(sockets, "with_mark", with_mark)
    return found


def begun(routes: Routes, register: Register) -> Closing:
    linux: Any = SimpleNamespace(identity=Identity(), cgroup_mount=CgroupMount(Path("/")))
    return Closing(linux, routes, register, print)  # type: ignore[arg-type]


@pytest.mark.promise("DAEMON-02")
@pytest.mark.usefixtures("marked")
def test_a_hundred_are_closed_together_but_for_what_is_used_again() -> None:
    routes, register = Routes(), Register()
    assert begun(routes, register).close_unused() is None
    expected = [n for n in range(1, 101) if n != 7]
    assert routes.closed == [expected]
    assert register.ended == expected


@pytest.mark.promise("TRUE-05")
def test_a_connection_that_was_kept_is_looked_at_the_more_seldom_the_longer_it_lasts(
    marked: list[sockets.InetSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    marked.append(sockets.InetSocket(socket.AF_INET, sockets.ESTABLISHED, 1, bytes(48)))
    routes = Routes()
    daemons = begun(routes, Register())
    looks = 0
    while now < 1000 + 3600:
        pause = daemons.close_unused()
        assert pause is not None
        assert 1 <= pause <= 60
        now += pause
        looks += 1
    assert looks < 100  # 3,600 by the second
    assert 1 not in {n for some in routes.closed for n in some}
    marked.clear()
    assert daemons.close_unused() is None
    assert 1 in routes.closed[-1]
