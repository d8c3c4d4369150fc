"""The way to a daemon, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute_tui.link import Gone, Link
from tests.daemon_stand_in import StandIn
from tests.tui.fake_daemon import ASSIGNMENTS, NOW, PROCESSES, traffic

WATCHING = protocol.Watching(assignments=ASSIGNMENTS, processes=PROCESSES)


async def first(link: Link, count: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(20):
        async for told in link.told():
            found.append(told)
            if len(found) == count:
                break
    return found


@pytest.mark.promise("VIEW-08")
def test_it_tries_until_there_is_a_daemon_and_again_when_that_ends(tmp_path: Path) -> None:
    async def live() -> None:
        told = Link(f"{tmp_path}/procroute.sock").told()
        gone = await anext(told)
        assert isinstance(gone, Gone)
        assert gone.error.code == "daemon-missing"
        with StandIn(tmp_path, lambda _: [WATCHING, traffic(NOW)]):
            while isinstance(found := await anext(told), Gone):
                pass
            assert isinstance(found, protocol.Watching)
            assert await anext(told) == traffic(NOW)
        gone = await anext(told)
        assert isinstance(gone, Gone)
        assert gone.error.code == "daemon-lost"
        await told.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(live(), 30))


@pytest.mark.promise("VIEW-08")
def test_after_lost_events_it_begins_anew(tmp_path: Path) -> None:
    with StandIn(tmp_path, lambda _: [WATCHING, protocol.Lost(at=NOW)]) as daemon:
        kinds = [type(told) for told in asyncio.run(first(Link(daemon.path), 4))]
    assert kinds == [protocol.Watching, protocol.Lost, protocol.Watching, protocol.Lost]


def test_a_refusal_keeps_the_line_and_a_loss_makes_a_new_one(tmp_path: Path) -> None:
    answers: list[Any] = [
        protocol.Error(code="not-permitted", message="no"),
        protocol.Assignments(assignments=[]),
        None,
        protocol.Assignments(assignments=[]),
    ]

    async def ask(path: str) -> list[str]:
        link, codes = Link(path), []
        for _ in range(4):
            try:
                await link.ask(protocol.Ps())
                codes.append("")
            except ProcrouteError as e:
                codes.append(e.code)
        with contextlib.suppress(ProcrouteError):
            await link.close()
        return codes

    with StandIn(tmp_path, lambda _: answers.pop(0)) as daemon:
        assert asyncio.run(ask(daemon.path)) == ["not-permitted", "", "daemon-lost", ""]
        assert len(daemon.callers) == 2
