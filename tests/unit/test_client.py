"""Both clients against a stand-in for the daemon: what is answered, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procroute import protocol
from procroute.client import AsyncClient, Client, connection, failures
from procroute.client.connection import Connection, attempt, framed
from procroute.errors import ProcrouteError
from procroute.lab.patience import FACTOR
from tests.daemon_stand_in import Answer, StandIn

promise = pytest.mark.promise

Talk = Callable[..., tuple[list[protocol.Reply], list[protocol.Event]]]
"""(path, requests, number of events to wait for, timeout) → replies and events."""

ASSIGNMENT = protocol.Assignment(3, "wan1", "wan1", "run", 1000, 1000, "/procroute.slice")
WANTED = protocol.Wanted("wan1")
PATIENT = 20 * FACTOR


def by_client(
    path: str, requests: Sequence[protocol.Request], events: int = 0, timeout: float = PATIENT
) -> tuple[list[protocol.Reply], list[protocol.Event]]:
    with Client(path, timeout) as client:
        replies: list[protocol.Reply] = [client.ask(request) for request in requests]
        coming = client.events()
        return replies, [next(coming) for _ in range(events)]


def by_async_client(
    path: str, requests: Sequence[protocol.Request], events: int = 0, timeout: float = PATIENT
) -> tuple[list[protocol.Reply], list[protocol.Event]]:
    async def talk() -> tuple[list[protocol.Reply], list[protocol.Event]]:
        async with AsyncClient(path, timeout) as client:
            replies: list[protocol.Reply] = [await client.ask(request) for request in requests]
            coming = client.events()
            return replies, [await anext(coming) for _ in range(events)]

    return asyncio.run(talk())


@pytest.fixture(params=[by_client, by_async_client], ids=["sync", "async"])
def talk(request: pytest.FixtureRequest) -> Talk:
    """One client or the other."""
    found: Talk = request.param
    return found


def refused(talk: Talk, path: str, *requests: protocol.Request, **how: float) -> ProcrouteError:
    """What a client says is wrong."""
    with pytest.raises(ProcrouteError) as caught:
        talk(path, requests or [protocol.Ps()], **how)
    return caught.value


EACH: list[tuple[protocol.Request, protocol.Reply]] = [
    (protocol.Run(route=WANTED, command=["ls"]), protocol.Placed(assignment=ASSIGNMENT, notes=["a"])),
    (
        protocol.Assign(route=WANTED, pids=[4711], tree=True),
        protocol.Assigned(assignments=[ASSIGNMENT], moved=protocol.Moved(follow=1), dns="follow"),
    ),
    (protocol.Release(ids=[3]), protocol.Released(assignments=[ASSIGNMENT], moved=protocol.Moved())),
    (protocol.Ps(sockets=True), protocol.Assignments(assignments=[ASSIGNMENT])),
    (protocol.Explain(pid=4711), protocol.Explained(subject="x", families={"ipv4": ["a"]})),
    (protocol.Watch(), protocol.Watching(assignments=[ASSIGNMENT])),
]
EVENTS: list[protocol.Event] = [
    protocol.Added(at=1, assignment=ASSIGNMENT),
    protocol.Repaired(at=2, what=["ip rules"], who="ip (pid 7)", ms=12),
    protocol.Removed(at=3, assignment=ASSIGNMENT, why="ended"),
]


def answering(*, events: Sequence[protocol.Event] = ()) -> Answer:
    """Each request as EACH has it; after watch come events."""
    replies = {type(request): reply for request, reply in EACH}

    def answer(request: protocol.Request) -> list[Any]:
        return [replies[type(request)], *(events if isinstance(request, protocol.Watch) else ())]

    return answer


@promise("CLIENT-01")
@pytest.mark.parametrize("piece", [0, 1, 3])
def test_each_request_gets_its_answer(talk: Talk, piece: int, tmp_path: Path) -> None:
    """piece: bytes that arrive at a time, so that frames are cut at every byte."""
    with StandIn(tmp_path, answering(events=EVENTS), piece) as daemon:
        replies, events = talk(daemon.path, [request for request, _ in EACH], len(EVENTS))
    assert [type(reply) for reply in replies] == [type(reply) for _, reply in EACH]
    assert [reply.id for reply in replies] == [1, 2, 3, 4, 5, 6]
    assert isinstance(replies[0], protocol.Placed)
    assert replies[0].assignment == ASSIGNMENT
    assert events == EVENTS
    assert daemon.asked[1] == protocol.Assign(id=2, route=WANTED, pids=[4711], tree=True)
    assert daemon.callers == [os.getpid()]


@promise("CLIENT-01")
def test_frames_that_arrive_together_are_told_apart(talk: Talk, tmp_path: Path) -> None:
    together = b"".join(map(protocol.frame, [protocol.Watching(id=1, assignments=[]), *EVENTS]))
    with StandIn(tmp_path, lambda _: together) as daemon:
        assert talk(daemon.path, [protocol.Watch()], 3)[1] == EVENTS


@promise("CLIENT-01")
def test_events_before_an_answer_are_not_lost(talk: Talk, tmp_path: Path) -> None:
    def answer(request: protocol.Request) -> list[Any]:
        if isinstance(request, protocol.Watch):
            return [protocol.Watching(assignments=[]), EVENTS[0]]
        return [EVENTS[1], protocol.Assignments(assignments=[ASSIGNMENT]), EVENTS[2]]

    with StandIn(tmp_path, answer) as daemon:
        replies, events = talk(daemon.path, [protocol.Watch(), protocol.Ps()], 3)
    assert isinstance(replies[1], protocol.Assignments)
    assert events == EVENTS


@promise("CLIENT-01")
def test_a_large_answer_arrives_whole(talk: Talk, tmp_path: Path) -> None:
    many = [protocol.Process(n, "x" * 100) for n in range(1, 20_001)]
    crowd = protocol.Assignment(3, "wan1", "wan1", "run", 0, 0, "/x", processes=many)
    with StandIn(tmp_path, lambda _: protocol.Assignments(assignments=[crowd])) as daemon:
        ((found,), _) = talk(daemon.path, [protocol.Ps()])
    assert isinstance(found, protocol.Assignments)
    assert found.assignments == [crowd]


@promise("CLIENT-01")
def test_after_lost_no_more_events_come(tmp_path: Path) -> None:
    said = [protocol.Watching(assignments=[]), EVENTS[0], protocol.Lost(at=9)]
    with StandIn(tmp_path, lambda _: said) as daemon, Client(daemon.path, PATIENT) as client:
        client.ask(protocol.Watch())
        assert list(client.events()) == [EVENTS[0], protocol.Lost(at=9)]


@promise("CLIENT-02")
def test_what_the_daemon_refuses_is_raised(talk: Talk, tmp_path: Path) -> None:
    said = protocol.Error(code="adapter-unknown", message="there is no wan9", hint="wan1?")
    with StandIn(tmp_path, lambda _: said) as daemon:
        error = refused(talk, daemon.path)
    assert (error.code, error.message, error.hint) == ("adapter-unknown", "there is no wan9", "wan1?")


@promise("CLIENT-02")
def test_it_may_be_said_amid_events(talk: Talk, tmp_path: Path) -> None:
    said = [protocol.Watching(assignments=[]), protocol.Error(code="stopping", message="it ends"), None]
    with StandIn(tmp_path, lambda _: said) as daemon:
        assert refused(talk, daemon.path, protocol.Watch(), events=1).code == "stopping"


@promise("CLIENT-02")
def test_without_a_daemon_it_is_said_how_to_start_one(talk: Talk, tmp_path: Path) -> None:
    error = refused(talk, str(tmp_path / "none"))
    assert error.code == "daemon-missing"
    assert "procroute daemon" in error.hint


@promise("CLIENT-02")
def test_a_dead_daemon_is_told_from_none(talk: Talk, tmp_path: Path) -> None:
    with StandIn(tmp_path, answering()) as daemon:
        pass
    if not Path(daemon.path).exists():  # from Python 3.13 on asyncio removes it
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(daemon.path)
    error = refused(talk, daemon.path)
    assert error.code == "daemon-missing"
    assert "has ended" in error.message
    assert "procroute daemon" in error.hint


@promise("CLIENT-02")
def test_a_path_that_cannot_be_one_is_no_traceback(talk: Talk) -> None:
    assert refused(talk, "/" + "x" * 200).code == "daemon-missing"


@pytest.mark.root
@promise("CLIENT-02")
def test_who_may_not_is_told_of_the_group(tmp_path: Path) -> None:
    """As nobody, where a folder keeps him from the socket; the same as its own mode does."""
    with StandIn(tmp_path, answering()) as daemon:
        os.chmod(daemon.path, 0o660)
        os.chmod(tmp_path, 0o755)
        reading, writing = os.pipe()
        import_module(
            "procroute.client.group"
        )  # while it can be read: nobody may be kept from the interpreter, too
        pid = os.fork()
        if pid == 0:
            try:
                os.setresuid(65534, 65534, 65534)
                attempt(daemon.path)
            except ProcrouteError as e:
                os.write(writing, f"{e.code} {e.hint}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        os.waitpid(pid, 0)
        with os.fdopen(reading) as pipe:
            code, _, hint = pipe.read().partition(" ")
    assert code == "not-permitted"
    assert "usermod -aG procroute" in hint


@promise("CLIENT-02")
@pytest.mark.parametrize(
    ("group", "at_login", "now", "hint"),
    [
        (None, [], [], "groupadd --system procroute"),
        (990, [], [], "usermod -aG procroute"),
        (990, [990], [], "log out and in again"),
        (990, [990], [990], "sudo procroute reload"),
    ],
)
def test_the_hint_is_what_brings_one_into_the_group(
    group: int | None, at_login: list[int], now: list[int], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_name(name: str) -> object:
        if group is None:
            raise KeyError(name)
        return SimpleNamespace(gr_gid=group)

    monkeypatch.setattr("grp.getgrnam", by_name)
    monkeypatch.setattr("os.getgrouplist", lambda *_: at_login)
    monkeypatch.setattr("os.getgroups", lambda: now)
    said = failures.unreachable("/x", PermissionError(errno.EACCES, "denied")).hint
    assert hint in said
    assert ("usermod" in said) is (not at_login)


@promise("CLIENT-02")
def test_a_silent_daemon_is_waited_for_only_so_long(talk: Talk, tmp_path: Path) -> None:
    with StandIn(tmp_path, lambda _: []) as daemon:
        error = refused(talk, daemon.path, timeout=0.2)
    assert error.code == "daemon-silent"
    assert "0.2 s" in error.message


@promise("CLIENT-02")
def test_so_is_one_that_trickles(talk: Talk, tmp_path: Path) -> None:
    """Each byte comes in time, all of them do not."""
    frame = protocol.frame(protocol.Assignments(id=1, assignments=[ASSIGNMENT]))
    with socket.socket(socket.AF_UNIX) as listening:
        path = str(tmp_path / "slow")
        listening.bind(path)
        listening.listen()
        over = threading.Event()

        def trickle() -> None:
            caller, _ = listening.accept()
            with caller, contextlib.suppress(BrokenPipeError):
                for n in range(len(frame)):
                    if over.wait(0.05):
                        return
                    caller.send(frame[n : n + 1])

        thread = threading.Thread(target=trickle)
        thread.start()
        error = refused(talk, path, timeout=0.4)
        over.set()
        thread.join()
    assert error.code == "daemon-silent"


@promise("CLIENT-02")
@pytest.mark.parametrize("said", [b"", b"\0", b"\0\0\0\x40", b'\0\0\0\x40{"is":"assignments","id":1'])
def test_a_daemon_that_dies_midway_is_noticed(talk: Talk, said: bytes, tmp_path: Path) -> None:
    with StandIn(tmp_path, lambda _: [said, None]) as daemon:
        assert refused(talk, daemon.path).code == "daemon-lost"


@promise("CLIENT-02")
def test_so_is_one_that_dies_amid_events(talk: Talk, tmp_path: Path) -> None:
    said = [protocol.Watching(assignments=[]), EVENTS[0], None]
    with StandIn(tmp_path, lambda _: said) as daemon:
        assert talk(daemon.path, [protocol.Watch()], 1)[1] == EVENTS[:1]
        assert refused(talk, daemon.path, protocol.Watch(), events=2).code == "daemon-lost"


@promise("CLIENT-02")
def test_what_the_daemon_would_not_read_is_not_sent(talk: Talk, tmp_path: Path) -> None:
    crowd = protocol.Assign(route=WANTED, name="x" * protocol.REQUEST_LIMIT)
    with StandIn(tmp_path, answering()) as daemon:
        error = refused(talk, daemon.path, crowd)
    assert error.code == "frame-too-large"
    assert error.hint
    assert not daemon.asked


@promise("CLIENT-02")
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (b"\0\0\0\x02[]", "protocol"),
        (b"\0\0\0\x02\xff\xff", "protocol"),
        (protocol.frame(protocol.Released(id=1, assignments=[], moved=protocol.Moved())), "protocol"),
        (protocol.frame(protocol.Assignments(id=77, assignments=[])), "protocol"),
        (protocol.frame(protocol.Assignments(id=1, v=9, assignments=[])), "protocol-version"),
        (framed(b'{"is":"processes","v":2,"id":1}'), "protocol-version"),
    ],
)
def test_nonsense_is_not_taken_for_an_answer(talk: Talk, said: bytes, code: str, tmp_path: Path) -> None:
    with StandIn(tmp_path, lambda _: said) as daemon:
        error = refused(talk, daemon.path)
    assert error.code == code
    assert ("upgrade" in error.hint) == (code == "protocol-version")


@promise("CLIENT-02")
def test_where_many_call_at_once_it_waits_for_its_turn(talk: Talk, tmp_path: Path) -> None:
    """connect(2) says EAGAIN while the daemon's queue is full."""
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(0)
        waiting = [found for _ in range(8) if (found := attempt(path)) is not None]
        assert attempt(path) is None
        assert refused(talk, path, timeout=0.2).code == "daemon-silent"

        def serve() -> None:
            time.sleep(0.1)
            while True:
                caller, _ = listening.accept()
                with caller:
                    head = caller.recv(protocol.LENGTH.size)
                    if head:
                        caller.recv(1 << 16)
                        caller.sendall(protocol.frame(protocol.Assignments(id=1, assignments=[])))
                        return

        for sock in waiting:
            sock.close()
        thread = threading.Thread(target=serve)
        thread.start()
        ((answer,), _) = talk(path, [protocol.Ps()])
        thread.join()
    assert answer == protocol.Assignments(id=1, assignments=[])


@promise("CLIENT-01")
def test_tasks_take_turns_and_one_that_is_cancelled_ends_the_connection(tmp_path: Path) -> None:
    silent = threading.Event()

    def answer(request: protocol.Request) -> list[Any]:
        return [] if silent.is_set() else [protocol.Assignments(assignments=[])]

    async def talk(path: str) -> None:
        async with AsyncClient(path, PATIENT) as client:
            found = await asyncio.gather(*(client.ask(protocol.Ps()) for _ in range(20)))
            assert sorted(reply.id for reply in found) == list(range(1, 21))
            silent.set()
            asking = asyncio.create_task(client.ask(protocol.Ps()))
            await asyncio.sleep(0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            with pytest.raises(ProcrouteError) as lost:
                await client.ask(protocol.Ps())
            assert lost.value.code == "daemon-lost"

    with StandIn(tmp_path, answer) as daemon:
        asyncio.run(talk(daemon.path))


def test_the_limits_are_those_of_the_protocol() -> None:
    assert connection.REQUEST_LIMIT == protocol.REQUEST_LIMIT
    assert connection.REPLY_LIMIT == protocol.REPLY_LIMIT
    assert protocol.LENGTH.size == connection.HEAD
    request = protocol.Ps(id=7)
    assert framed(protocol.frame(request)[connection.HEAD :]) == protocol.frame(request)


def test_a_connection_is_closed_after_an_error(tmp_path: Path) -> None:
    with StandIn(tmp_path, lambda _: []) as daemon:
        found = Connection(daemon.path)
        found.send(protocol.frame(protocol.Ps()))
        with pytest.raises(ProcrouteError, match=r"0\.05 s"):
            found.receive(0.05)
        with pytest.raises(ProcrouteError) as lost:
            found.receive(0.05)
        assert lost.value.code == "daemon-lost"
