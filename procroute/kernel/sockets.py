"""Sockets that carry a route's mark, through sock_diag(7)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from msgspec import Struct

from procroute.kernel import netlink

# linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _BY_FAMILY, _DESTROY = 4, 20, 21
_BYTECODE, _MARK_CONDITION = 1, 10
_TCP = 6
TIME_WAIT = 6
# Without CONFIG_INET_DIAG (socket(2), sock_diag); where the kernel does not know the condition (before 4.10).
_CANNOT_TELL = frozenset({errno.EPROTONOSUPPORT, errno.ENOENT, errno.EINVAL})
_GONE = frozenset({errno.ENOENT, errno.ESTALE})


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

    None where the kernel cannot tell: without INET_DIAG, or its mark condition (Linux 4.10). Raises OSError.
    """
    # Two operations of 4 bytes and 8 bytes of data: match goes on behind the end, no match jumps out.
    condition = struct.pack("=BBHII", _MARK_CONDITION, 12, 16, mark, mask)
    attribute = struct.pack("=HH", 4 + len(condition), _BYTECODE) + condition
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBBI", family, _TCP, 0, 0, 0xFFFF_FFFF) + bytes(48) + attribute
        for body in netlink.ask(_NETLINK_SOCK_DIAG, _BY_FAMILY, request, dump=True, nothing=_CANNOT_TELL):
            if len(body) >= 72:
                unsent, _, inode = struct.unpack_from("=III", body, 60)
                yield TcpSocket(body[0], body[1], inode, body[4:52], unsent)


def destroy(tcp: TcpSocket) -> bool:
    """End a socket as SOCK_DESTROY does: its peer is told where the state asks for it. One gone is no error.

    False where the kernel cannot: without CONFIG_INET_DIAG_DESTROY, and before Linux 6.5 in TIME_WAIT.
    Raises OSError.
    """
    request = struct.pack("=BBBBI", tcp.family, _TCP, 0, 0, 1 << tcp.state) + tcp.identity
    try:
        netlink.ask(_NETLINK_SOCK_DIAG, _DESTROY, request, dump=False, nothing=_GONE)
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True
