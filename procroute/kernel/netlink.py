"""Netlink (netlink(7)) where pyroute2 has no words for a question: raw bodies there and back."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_SECONDS = 5
HEADER = struct.Struct("=IHHII")
"""Length with this header, type, flags, sequence number, port (struct nlmsghdr)."""
# What socket(2) says where the kernel has nobody to ask.
_NOBODY = frozenset({errno.EPROTONOSUPPORT, errno.ENOENT, errno.EOPNOTSUPP})


def ask(protocol: int, message: int, body: bytes, *, dump: bool) -> list[bytes]:
    """Ask the kernel and give the bodies of its answers.

    protocol: the netlink family; message: the type; dump: ask for all rather than one. None where the kernel
    has no such family, or refuses. Raises OSError.
    """
    flags = _REQUEST | (_DUMP if dump else _ACK)
    answers: list[bytes] = []
    try:
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    except OSError as e:
        if e.errno in _NOBODY:
            return answers
        raise
    with s:
        s.settimeout(_SECONDS)
        s.send(HEADER.pack(HEADER.size + len(body), message, flags, 1, 0) + body)
        while True:
            for kind, answer in messages(s.recv(1 << 18)):
                if kind in (_ERROR, _DONE):
                    return answers
                answers.append(answer)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and body of each message in what one recv(2) gave."""
    for kind, _, _, message in headed_messages(data):
        yield kind, message[HEADER.size :]


def headed_messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The type, flags, sequence number and whole of each message in what one recv(2) gave."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at : at + length]
        at += max(HEADER.size, (length + 3) & ~3)
