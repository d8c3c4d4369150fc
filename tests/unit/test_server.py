"""The daemon's socket among clients that are slow, rude, many, or gone."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from procroute import protocol
from procroute.core.access import Peer, seen_by
from procroute.daemon import server, watchers
from procroute.daemon.server import Server
from procroute.errors import ProcrouteError

promise = pytest.mark.promise
NOTHING = protocol.Assignments(assignments=[])
_MINE = protocol.Assignment(1, "wan1", "wan1", "run", 1000, 1000, "/a", command="secret word")


async def _nothing(_: Peer, request: protocol.Request) -> protocol.Reply:
    if isinstance(request, protocol.Release):
        raise ProcrouteError("assignment-unknown", "there is none", "look")
    return protocol.Watching(assignments=[]) if isinstance(request, protocol.Watch) else NOTHING


@asynccontextmanager
async def _listening(
    place: Path, answer: Callable[[Peer, protocol.Request], Awaitable[protocol.Reply]] = _nothing
) -> AsyncIterator[Server]:
    running = Server(answer, lambda uid: f"u{uid}", lambda _: None, place)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


async def _read(reader: asyncio.StreamReader) -> bytes:
    (length,) = protocol.LENGTH.unpack(await reader.readexactly(4))
    return await reader.readexactly(length)


async def _ask(place: Path, request: protocol.Request) -> protocol.Reply:
    reader, writer = await asyncio.open_unix_connection(place)
    writer.write(protocol.frame(request))
    reply = protocol.read_reply(await asyncio.wait_for(_read(reader), 10))
    writer.close()
    return reply


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - the server tells nobody when a client has gone
        await asyncio.sleep(0.01)


def _run(work: Callable[[Path], Awaitable[None]], place: Path) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work(place)

    asyncio.run(bounded())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s"


@promise("SERVER-01")
def test_the_asker_is_told_by_the_kernel(place: Path) -> None:
    asked: list[Peer] = []

    async def answer(peer: Peer, _: protocol.Request) -> protocol.Reply:
        asked.append(peer)
        return NOTHING

    async def work(place: Path) -> None:
        async with _listening(place, answer):
            assert await _ask(place, protocol.Ps(id=9)) == protocol.Assignments(id=9, assignments=[])

    _run(work, place)
    (peer,) = asked
    assert (peer.pid, peer.uid, peer.name) == (os.getpid(), os.getuid(), f"u{os.getuid()}")
    assert peer.began


@promise("SERVER-01")
def test_an_error_is_a_reply_with_the_requests_id(place: Path) -> None:
    async def work(place: Path) -> None:
        async with _listening(place):
            reply = await _ask(place, protocol.Release(id=4, ids=[1]))
            assert reply == protocol.Error(
                id=4, code="assignment-unknown", message="there is none", hint="look"
            )

    _run(work, place)


@promise("SERVER-01")
def test_who_cannot_be_known_is_told_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is the log."""
    said: list[str] = []

    def unknown(_: socket.socket) -> tuple[int, int, int]:
        raise PermissionError(13, "Permission denied")

    async def work(place: Path) -> None:
        running = Server(_nothing, str, said.append, place)
        await running.start()
        reply = await _ask(place, protocol.Ps(id=9))
        assert isinstance(reply, protocol.Error)
        assert (reply.code, "Permission denied" in reply.message) == ("system", True)
        await running.stop()

    monkeypatch.setattr(server, "peer", unknown)
    _run(work, place)
    assert "not served" in said[-1]


@promise("SERVER-02")
def test_nonsense_gets_an_error_and_the_next_request_its_answer(place: Path) -> None:
    async def work(place: Path) -> None:
        async with _listening(place):
            reader, writer = await asyncio.open_unix_connection(place)
            for text in (b'{"do":"fly","id":3}', b"", b"\xff", b'{"do":"ps","id":3,"x":1}'):
                writer.write(protocol.LENGTH.pack(len(text)) + text)
                reply = protocol.read_reply(await _read(reader))
                assert isinstance(reply, protocol.Error)
                assert reply.code == "protocol"
                assert reply.id == (3 if b"id" in text else 0)
            writer.write(protocol.frame(protocol.Ps(id=5)))
            assert protocol.read_reply(await _read(reader)).id == 5
            writer.close()

    _run(work, place)


@promise("SERVER-02")
def test_a_frame_that_is_too_large_is_refused_before_it_is_read(place: Path) -> None:
    async def work(place: Path) -> None:
        async with _listening(place):
            reader, writer = await asyncio.open_unix_connection(place)
            writer.write(struct.pack(">I", protocol.REQUEST_LIMIT + 1))
            reply = protocol.read_reply(await _read(reader))
            assert isinstance(reply, protocol.Error)
            assert str(protocol.REQUEST_LIMIT) in reply.message
            assert await reader.read(1) == b""
            writer.close()

    _run(work, place)


@promise("SERVER-03")
def test_half_a_frame_holds_nobody_up_and_is_dropped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SECONDS", 0.3)

    async def work(place: Path) -> None:
        async with _listening(place):
            slow = [await asyncio.open_unix_connection(place) for _ in range(100)]
            for number, (_, writer) in enumerate(slow):
                writer.write(protocol.frame(protocol.Ps())[: 1 + number % 12])
            assert (await _ask(place, protocol.Ps(id=2))).id == 2
            for reader, writer in slow:
                assert await asyncio.wait_for(reader.read(1), 10) == b""
                writer.close()

    _run(work, place)


@promise("SERVER-03")
def test_hundreds_at_once_are_all_answered(place: Path) -> None:
    async def work(place: Path) -> None:
        async with _listening(place):
            replies = await asyncio.gather(*(_ask(place, protocol.Ps(id=n)) for n in range(300)))
            assert [reply.id for reply in replies] == list(range(300))

    _run(work, place)


@promise("SERVER-03")
def test_clients_that_vanish_leave_nothing(place: Path) -> None:
    async def work(place: Path) -> None:
        async with _listening(place) as running:
            for request in (protocol.Ps(), protocol.Watch()):
                for _ in range(50):
                    _, writer = await asyncio.open_unix_connection(place)
                    writer.write(protocol.frame(request))
                    writer.transport.abort()
            await _until(lambda: not running._tasks and not running._watching)
            assert (await _ask(place, protocol.Ps(id=2))).id == 2

    _run(work, place)


@promise("SERVER-03")
def test_one_client_too_many_is_told_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CLIENTS", 3)

    async def work(place: Path) -> None:
        async with _listening(place) as running:
            there = [await asyncio.open_unix_connection(place) for _ in range(3)]
            await _until(lambda: len(running._tasks) == 3)
            reply = await _ask(place, protocol.Ps())
            assert isinstance(reply, protocol.Error)
            assert reply.code == "busy"
            for _, writer in there:
                writer.close()

    _run(work, place)


@promise("SERVER-04")
def test_who_watches_too_slowly_is_told_and_holds_nobody_up(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is bounded; the other one hears everything."""
    monkeypatch.setattr(watchers, "EVENTS", 50)

    async def work(place: Path) -> None:
        async with _listening(place) as running:
            slow = socket.socket(socket.AF_UNIX)
            slow.connect(str(place))
            slow.sendall(protocol.frame(protocol.Watch()))
            reader, writer = await asyncio.open_unix_connection(place)
            writer.write(protocol.frame(protocol.Watch()))
            assert isinstance(protocol.read_reply(await _read(reader)), protocol.Watching)
            await _until(lambda: len(running._watching) == 2)
            for number in range(5000):
                running.say(protocol.Repaired(at=number, what=["x" * 200]))
                assert protocol.read_event(await _read(reader)).at == number
            assert len(running._watching) == 1
            writer.close()
            slow.close()

    _run(work, place)


@promise("SERVER-04")
@pytest.mark.parametrize("size", [200, 12000, 20000, 30000])
def test_the_last_word_to_who_watches_too_slowly_is_that_events_were_lost(
    place: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Also where the daemon has to wait with it until the client reads on."""
    monkeypatch.setattr(watchers, "EVENTS", 50)

    async def work(place: Path) -> None:
        loop = asyncio.get_running_loop()
        async with _listening(place) as running:
            with socket.socket(socket.AF_UNIX) as slow:
                slow.setblocking(False)
                slow.connect(str(place))
                slow.sendall(protocol.frame(protocol.Watch()))
                await _until(lambda: bool(running._watching))
                number = 0
                while running._watching:
                    running.say(protocol.Repaired(at=number, what=["x" * size]))
                    number += 1
                    await asyncio.sleep(0)
                text = b""
                while some := await loop.sock_recv(slow, 1 << 10):
                    text += some
                    await asyncio.sleep(0.001)
            told = []
            while text:
                (length,) = protocol.LENGTH.unpack(text[:4])
                told.append(text[4 : 4 + length])
                text = text[4 + length :]
            assert isinstance(protocol.read_event(told[-1]), protocol.Lost)
            assert [protocol.read_event(each).at for each in told[1:-1]] == list(range(len(told) - 2))

    _run(work, place)


@promise("SERVER-03")
def test_who_is_refused_to_watch_does_not_watch(place: Path) -> None:
    async def refuse(_: Peer, __: protocol.Request) -> protocol.Reply:
        raise ProcrouteError("system", "not now")

    async def work(place: Path) -> None:
        async with _listening(place, refuse) as running:
            reader, writer = await asyncio.open_unix_connection(place)
            writer.write(protocol.frame(protocol.Watch(id=3)))
            assert isinstance(protocol.read_reply(await _read(reader)), protocol.Error)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            assert not running._watching
            writer.close()

    _run(work, place)


@promise("SERVER-02")
def test_an_answer_that_no_client_takes_is_an_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REPLY_LIMIT", 1 << 10)

    async def answer(_: Peer, __: protocol.Request) -> protocol.Reply:
        return protocol.Reloaded(notes=["x" * (1 << 10)])

    async def work(place: Path) -> None:
        async with _listening(place, answer):
            reply = await _ask(place, protocol.Ps(id=3))
            assert isinstance(reply, protocol.Error)
            assert (reply.id, reply.code) == (3, "protocol")

    _run(work, place)


@promise("SERVER-04", "DAEMON-03")
def test_others_events_come_without_command_line() -> None:
    event = protocol.Added(at=0, assignment=_MINE)
    for uid, shown in ((1000, "secret word"), (0, "secret word"), (1001, "")):
        seen = seen_by(Peer(uid, 5), event)
        assert isinstance(seen, protocol.Added)
        assert seen.assignment.command == shown


def _removed(number: int) -> protocol.Removed:
    gone = replace(_MINE, id=number, owner=os.getuid())
    return protocol.Removed(
        at=1, assignment=gone, why="ended", ending=protocol.Ending(status=0, sockets=False)
    )


async def _place(_: Peer, request: protocol.Request) -> protocol.Reply:
    return protocol.Placed(assignment=replace(_MINE, id=request.id))


def _asking(number: int) -> bytes:
    return protocol.frame(protocol.Run(id=number, route=protocol.Wanted("wan1"), ending=True))


@promise("SINGLE-03")
def test_who_waits_for_an_end_hears_of_that_one_and_no_more(place: Path) -> None:
    async def work(place: Path) -> None:
        async with _listening(place, _place) as running:
            reader, writer = await asyncio.open_unix_connection(place)
            writer.write(_asking(3))
            assert isinstance(protocol.read_reply(await _read(reader)), protocol.Placed)
            for number in (2, 3, 4):
                running.say(_removed(number))
            assert protocol.read_event(await _read(reader)) == _removed(3)
            assert await reader.read() == b""
            writer.close()

    _run(work, place)


@promise("SINGLE-04")
def test_so_many_wait_for_an_end_that_others_are_still_served(place: Path) -> None:
    async def work(place: Path) -> None:
        async with _listening(place, _place) as running:
            waiting = []
            for number in range(1, server._ENDINGS_OF_ONE_USER + 1):
                reader, writer = await asyncio.open_unix_connection(place)
                writer.write(_asking(number))
                await _read(reader)
                waiting.append((reader, writer))
            reader, writer = await asyncio.open_unix_connection(place)
            writer.write(_asking(100))
            assert isinstance(protocol.read_reply(await _read(reader)), protocol.Placed)
            assert await reader.read() == b""
            writer.close()
            for _, other in waiting:
                other.close()
            await _until(lambda: not running._ends)

    _run(work, place)


@promise("SINGLE-04")
def test_others_are_not_told_how_a_run_has_ended() -> None:
    event = protocol.Removed(at=1, assignment=_MINE, why="ended", ending=protocol.Ending(0, True))
    assert seen_by(Peer(1001, 7), event).ending is None  # type: ignore[union-attr]
    assert seen_by(Peer(1000, 7), event) == event
