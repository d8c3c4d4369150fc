"""rtnetlink(7): dumps, and many changes in one system call. Who uses it writes and reads the messages."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from itertools import islice

from procroute.kernel.netlink import HEADER, headed_messages

# linux/netlink.h
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
REPLACE, EXCLUDE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
_ERROR, _DONE, _DUMP_INTERRUPTED = 2, 3, 0x10
_SOL_NETLINK, _SHORT_ACK, _STRICT_CHECK = 270, 10, 12
_SECONDS = 5
# As many answers as surely fit into the socket's receive buffer.
_AT_ONCE = 64

Change = tuple[int, int, bytes]
"""A message's type (RTM_NEWRULE …), flags (CREATE …), and body."""


class Rtnetlink:
    """A socket to the kernel's routing state in our network namespace. All methods raise OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_SECONDS)
        self._socket.setsockopt(_SOL_NETLINK, _SHORT_ACK, 1)
        # Dumps are filtered by the kernel, and wrong requests refused rather than half understood.
        self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Every answer to a dump request: whole messages, with their headers.

        Raises InterruptedError when something changed meanwhile (NLM_F_DUMP_INTR).
        """
        self._socket.send(self._message(kind, _DUMP, body))
        answers: list[bytes] = []
        interrupted = False
        while True:
            for answer, flags, sequence, data in headed_messages(self._socket.recv(1 << 18)):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & _DUMP_INTERRUPTED)
                if answer in (_ERROR, _DONE):
                    _check(data)
                    if interrupted:
                        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
                    return answers
                answers.append(data)

    def change(self, changes: Iterable[Change]) -> list[int]:
        """Make changes in order; for each what the kernel answered: 0, or an errno.

        Later ones are made although an earlier one was refused; after 64 at most, a refusal ends it.
        """
        answers: list[int] = []
        left = iter(changes)
        while not any(answers) and (some := list(islice(left, _AT_ONCE))):
            answers += self._change(some)
        return answers

    def _change(self, changes: Sequence[Change]) -> list[int]:
        first = self._sequence + 1
        self._socket.send(b"".join(self._message(kind, _ACK | flags, body) for kind, flags, body in changes))
        answers: dict[int, int] = {}
        while len(answers) < len(changes):
            for kind, _, sequence, data in headed_messages(self._socket.recv(1 << 18)):
                if kind == _ERROR and sequence >= first:
                    answers[sequence] = _refusal(data)
        return [answers[number] for number in sorted(answers)]

    def _message(self, kind: int, flags: int, body: bytes) -> bytes:
        """A message as sent, padded for the next one."""
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), kind, _REQUEST | flags, self._sequence, 0)
        return header + body + bytes(-len(body) % 4)


def _refusal(data: bytes) -> int:
    """The errno in an NLMSG_ERROR or NLMSG_DONE; 0 for success."""
    return -int(struct.unpack_from("=i", data, HEADER.size)[0]) if len(data) >= HEADER.size + 4 else 0


def _check(data: bytes) -> None:
    if number := _refusal(data):
        raise OSError(number, os.strerror(number))
