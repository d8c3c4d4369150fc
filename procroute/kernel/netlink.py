"""Netlink (netlink(7)): questions to the kernel and its answers. Who asks writes and reads the bodies."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator

from procroute.kernel import faults

# linux/netlink.h
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE, _DUMP_INTERRUPTED = 2, 3, 0x10
_SECONDS = 5
HEADER = struct.Struct("=IHHII")
"""Length with this header, type, flags, sequence number, port (struct nlmsghdr)."""


class Netlink:
    """A socket to one part of the kernel (NETLINK_ROUTE …) in our network namespace.

    All methods raise OSError; TimeoutError, which has no errno, when no answer comes within 5 s.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._socket.settimeout(_SECONDS)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Every answer to a dump request: whole messages, with their headers.

        Raises InterruptedError when something changed meanwhile (NLM_F_DUMP_INTR).
        """
        return self._ask(kind, _DUMP, body)

    def ask(self, kind: int, body: bytes) -> list[bytes]:
        """The answers to a request for one thing, or to do one, as of `dump`."""
        return self._ask(kind, _ACK, body)

    def _ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        if number := faults.due("netlink", kind):
            raise OSError(number, os.strerror(number))
        answers = self._answers(kind, flags, body)
        faults.done("netlink", kind)
        return answers

    def _answers(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        self._socket.send(self._message(kind, flags, body))
        answers: list[bytes] = []
        interrupted = False
        while True:
            for answer, answered, sequence, data in self._receive():
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(answered & _DUMP_INTERRUPTED)
                if answer in (_ERROR, _DONE):
                    if number := _refusal(data):
                        raise OSError(number, os.strerror(number))
                    if interrupted:
                        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
                    return answers
                answers.append(data)

    def _together(self, messages: Collection[tuple[int, int, bytes]]) -> list[int]:
        """Send some (type, flags, body) at once; for each what the kernel answered: 0, or an errno."""
        refusals = [faults.due("netlink", kind) for kind, _, _ in messages]
        answers = iter(self._sent([m for m, refusal in zip(messages, refusals, strict=True) if not refusal]))
        return [refusal or next(answers) for refusal in refusals]

    def _sent(self, messages: Collection[tuple[int, int, bytes]]) -> list[int]:
        """Only the last asks for an answer: they are done in order, and refusals are told unasked."""
        if not messages:
            return []
        first, last = self._sequence + 1, self._sequence + len(messages)
        self._socket.send(
            b"".join(
                self._message(kind, flags | (_ACK if number == last else 0), body)
                for number, (kind, flags, body) in enumerate(messages, first)
            )
        )
        faults.done("netlink", f"{len(messages)} at once")
        answers = dict.fromkeys(range(first, last + 1), 0)
        told = 0
        while told != last:
            for kind, _, sequence, data in self._receive():
                if kind == _ERROR and sequence >= first:
                    answers[sequence] = _refusal(data)
                    told = sequence
        return list(answers.values())

    def _message(self, kind: int, flags: int, body: bytes) -> bytes:
        """A message as sent, padded for the next one."""
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), kind, _REQUEST | flags, self._sequence, 0)
        return header + body + bytes(-len(body) % 4)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        return _headed(self._socket.recv(1 << 18))


def ask(protocol: int, kind: int, body: bytes, *, dump: bool, nothing: Collection[int]) -> list[bytes]:
    """Ask one question on a socket of its own; gives the bodies of the answers.

    dump: ask for all rather than for one. nothing: the refusals (errnos) by which the kernel says that there
    is nothing to tell of. Raises OSError for every other one; InterruptedError as Netlink.dump.
    """
    try:
        with contextlib.closing(Netlink(protocol)) as netlink:
            answers = netlink.dump(kind, body) if dump else netlink.ask(kind, body)
    except OSError as e:
        if e.errno in nothing:
            return []
        raise
    return [answer[HEADER.size :] for answer in answers]


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and body of each message in what one recv(2) gave."""
    for kind, _, _, message in _headed(data):
        yield kind, message[HEADER.size :]


def notices(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The type of each message, the port of the socket that asked for what it tells of, and the whole."""
    for kind, _, _, message in _headed(data):
        yield kind, HEADER.unpack_from(message)[4], message


def _headed(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The type, flags, sequence number and whole of each message in what one recv(2) gave."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at : at + length]
        at += max(HEADER.size, (length + 3) & ~3)


def _refusal(data: bytes) -> int:
    """The errno in an NLMSG_ERROR or NLMSG_DONE; 0 for success."""
    return -int(struct.unpack_from("=i", data, HEADER.size)[0]) if len(data) >= HEADER.size + 4 else 0
