"""What the kernel answers over netlink: told apart are nothing, a refusal, and answers that do not agree."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from procroute.kernel import monitor, netlink, nf_tables, sockets
from procroute.kernel.netlink import HEADER
from procroute.kernel.refusal import refused

_ERROR, _DONE, _THING = 2, 3, 20
_MULTI, _INTERRUPTED = 0x2, 0x10
TCP = sockets.InetSocket(socket.AF_INET, 1, 0, bytes(48))


def message(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """As the kernel sends it, in answer to a socket's first request."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + body


def refusal(number: int) -> bytes:
    return message(_ERROR, struct.pack("=i", -number) + bytes(16))


class Socket:
    """In place of a netlink socket: `recv` gives what the kernel is to say, or raises it."""

    def __init__(self, *says: bytes | OSError) -> None:
        self.says = iter(says)

    def __call__(self, *_: object) -> Socket:
        return self

    def settimeout(self, _: float) -> None: ...
    def send(self, _: bytes) -> None: ...
    def close(self) -> None: ...

    def recv(self, _: int) -> bytes:
        said = next(self.says)
        if isinstance(said, OSError):
            raise said
        return said


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says what the kernel answers to whoever asks next."""

    def says(*what: bytes | OSError) -> None:
        monkeypatch.setattr(socket, "socket", Socket(*what))

    return says


def test_answers_come_until_the_last(kernel: Callable[..., None]) -> None:
    kernel(message(_THING, b"some") + message(_THING, b"more"), message(_THING, b"last") + message(_DONE))
    assert netlink.ask(4, _THING, b"", dump=True, nothing=()) == [b"some", b"more", b"last"]


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.ENOENT])
def test_a_refusal_is_no_answer_unless_it_says_that_nothing_is_there(
    kernel: Callable[..., None], number: int
) -> None:
    kernel(refusal(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        netlink.ask(4, _THING, b"", dump=True, nothing=())
    kernel(refusal(number))
    assert netlink.ask(4, _THING, b"", dump=True, nothing={number}) == []


def test_a_real_kernels_refusal_is_one() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):  # no such family (net/core/sock_diag.c)
        netlink.ask(4, _THING, bytes([200]) + bytes(55), dump=True, nothing=())


def test_answers_that_do_not_agree_are_none(kernel: Callable[..., None]) -> None:
    kernel(message(_THING, b"some", _MULTI | _INTERRUPTED), message(_THING, b"more", _MULTI), message(_DONE))
    with pytest.raises(InterruptedError):
        netlink.ask(4, _THING, b"", dump=True, nothing={errno.ENOENT})


@pytest.mark.parametrize(("number", "there"), [(errno.ENOENT, False), (errno.EINVAL, False), (0, True)])
def test_a_table_is_there_or_not(kernel: Callable[..., None], number: int, there: bool) -> None:
    kernel(*([message(_THING, bytes(4))] if there else []), refusal(number))
    assert nf_tables.comment("procroute") == ("" if there else None)


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize(
    "ask",
    [lambda: nf_tables.comment("procroute"), lambda: nf_tables.every_rule(but="procroute")],
    ids=["table", "rules"],
)
def test_who_may_not_look_at_the_firewall_is_not_told_that_there_is_none(
    kernel: Callable[..., None], ask: Callable[[], object]
) -> None:
    kernel(refusal(errno.EPERM))
    with pytest.raises(PermissionError):
        ask()


def test_of_many_at_once_refusals_come_unasked_and_the_last_is_acknowledged(
    kernel: Callable[..., None],
) -> None:
    def told(sequence: int, number: int) -> bytes:
        return HEADER.pack(HEADER.size + 20, _ERROR, 0, sequence, 0) + struct.pack("=i", -number) + bytes(16)

    kernel(told(2, errno.EEXIST), told(3, 0), told(5, errno.EPERM))
    asked = netlink.Netlink(0)
    assert asked._together([(_THING, 0, b"")] * 3) == [0, errno.EEXIST, 0]
    assert asked._together([(_THING, 0, b"")] * 2) == [0, errno.EPERM]
    assert asked._together([]) == []


def test_what_was_read_of_nf_tables_holds_until_something_changes_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[int | None] = []
    seen: nf_tables.Unchanged[int] = nf_tables.Unchanged()

    def read() -> int:
        reads.append(nf_tables.generation())
        return len(reads)

    def at(generation: int | None, about: str = "") -> int:
        monkeypatch.setattr(nf_tables, "generation", lambda: generation)
        return seen.get(read, about)

    assert [at(7), at(7), at(8), at(8), at(8, "more"), at(8, "more")] == [1, 1, 2, 2, 3, 3]
    assert [at(None), at(None)] == [4, 5]  # the kernel does not tell

    def fails() -> int:
        raise OSError(errno.EINTR, "changed meanwhile")

    monkeypatch.setattr(nf_tables, "generation", lambda: 9)
    with pytest.raises(OSError, match="changed"):
        seen.get(fails)
    assert at(9) == 6


def test_a_socket_is_ended_or_gone_or_cannot_be(kernel: Callable[..., None]) -> None:
    for number, ended in ((0, True), (errno.ENOENT, True), (errno.EOPNOTSUPP, False)):
        kernel(refusal(number))
        assert sockets.destroy(TCP) is ended
    kernel(refusal(errno.EPERM))
    with pytest.raises(PermissionError):
        sockets.destroy(TCP)


def test_news_that_were_lost_are_news_and_nothing_else_is() -> None:
    def read(*says: bytes | OSError) -> Iterator[tuple[int, int, bytes]]:
        return monitor._read(Socket(*says))  # type: ignore[arg-type]

    lost = OSError(errno.ENOBUFS, "full")
    thing = message(_THING, b"x")
    assert list(read(lost, thing, BlockingIOError())) == [(monitor._LOST, 0, b""), (_THING, 0, thing)]
    with pytest.raises(OSError, match="broken"):
        list(read(OSError(errno.EBADF, "broken")))


@pytest.mark.promise("ERR-08")
@pytest.mark.parametrize("why", [TimeoutError("timed out"), OSError("timed out")])
def test_a_refusal_without_a_number_is_told_in_its_own_words(why: OSError) -> None:
    error = refused(why, "dump", "tell its routing state")
    assert error.message == "the kernel refused to tell its routing state: timed out"
    assert "Success" not in refused(0, "dump", "tell").message
