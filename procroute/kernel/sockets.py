"""Sockets that carry a route's mark, through sock_diag(7)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from msgspec import Struct

# linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _BY_FAMILY, _DESTROY = 4, 20, 21
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_BYTECODE, _MARK_CONDITION = 1, 10
_TCP = 6
TIME_WAIT = 6


class TcpSocket(Struct, frozen=True):
    """A TCP socket. inode 0: nobody holds it any more, or not yet."""

    family: int
    state: int
    inode: int
    identity: bytes
    unsent: int = 0

    @property
    def sending(self) -> bool:
        """Whether data waits for the peer's acknowledgement; our FIN alone counts as one byte."""
        return self.unsent > 1


def tcp_with_mark(mark: int, mask: int) -> Iterator[TcpSocket]:
    """The TCP sockets of this network namespace whose mark matches, those in TIME_WAIT included.

    None where the kernel cannot tell (INET_DIAG without the mark condition, before Linux 4.10).
    """
    # Two operations of 4 bytes and 8 bytes of data: match goes on behind the end, no match jumps out.
    condition = struct.pack("=BBHII", _MARK_CONDITION, 12, 16, mark, mask)
    attribute = struct.pack("=HH", 4 + len(condition), _BYTECODE) + condition
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBBI", family, _TCP, 0, 0, 0xFFFF_FFFF) + bytes(48) + attribute
        for body in _talk(_BY_FAMILY, _REQUEST | _DUMP, request):
            if len(body) >= 72:
                unsent, _, inode = struct.unpack_from("=III", body, 60)
                yield TcpSocket(body[0], body[1], inode, body[4:52], unsent)


def destroy(tcp: TcpSocket) -> None:
    """End a socket as SOCK_DESTROY does: its peer is told where the state asks for it."""
    request = struct.pack("=BBBBI", tcp.family, _TCP, 0, 0, 1 << tcp.state) + tcp.identity
    _talk(_DESTROY, _REQUEST | _ACK, request)


def _talk(message: int, flags: int, body: bytes) -> list[bytes]:
    header = struct.pack("=IHHII", 16 + len(body), message, flags, 1, 0)
    answers: list[bytes] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as s:
            s.settimeout(5)
            s.send(header + body)
            while True:
                data = s.recv(1 << 18)
                while len(data) >= 16:
                    length, kind = struct.unpack_from("=IH", data)
                    if kind in (_ERROR, _DONE):
                        return answers
                    answers.append(data[16:length])
                    data = data[(length + 3) & ~3 :]
    except OSError as e:
        if e.errno in (errno.EPROTONOSUPPORT, errno.ENOENT, errno.EOPNOTSUPP):
            return []
        raise
