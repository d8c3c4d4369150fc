"""The internet sockets that a process has open, with what they carry (proc(5), sock_diag(7))."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from procroute.kernel import netlink
from procroute.kernel.entry_messages import attributes

# linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _BY_FAMILY = 4, 20
_MARK: Final = 15
_DIAG_HEADER: Final = 72
MPTCP: Final = 262
_IS_MPTCP: Final = struct.pack("=HHI", 8, 3, MPTCP)  # INET_DIAG_REQ_PROTOCOL
# Where the kernel has no inet_diag for a protocol (sock_diag(7)).
_CANNOT_TELL: Final = frozenset({errno.ENOENT, errno.EINVAL, errno.EPROTONOSUPPORT})
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class OpenSocket(Struct, frozen=True):
    """A TCP or UDP socket. ifindex: of the adapter that it is bound to (SO_BINDTODEVICE), 0: to none."""

    inode: int
    protocol: int
    mark: int
    ifindex: int


def of_process(pid: int) -> list[OpenSocket]:
    """Those among a process's descriptors, in this network namespace; none where it has ended.

    Raises OSError where the kernel does not tell (InterruptedError: ask again), and for others' processes.
    """
    mine = _inodes(pid)
    return [s for s in _every() if s.inode in mine] if mine else []


def _inodes(pid: int) -> set[int]:
    folder, found = f"/proc/{pid}/fd", set()
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return set()
    for name in names:
        try:
            match = _SOCKET.fullmatch(os.readlink(f"{folder}/{name}"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if match:
            found.add(int(match[1]))
    return found


def _every() -> Iterator[OpenSocket]:
    """Every TCP, UDP and MPTCP socket here. The mark is told to who has CAP_NET_ADMIN (Linux 4.10)."""
    for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP, MPTCP):
        for family in (socket.AF_INET, socket.AF_INET6):
            # MPTCP's number does not fit into a byte: TCP's stands there, and an attribute beside it.
            byte, beside = (protocol, b"") if protocol != MPTCP else (socket.IPPROTO_TCP, _IS_MPTCP)
            request = struct.pack("=BBBBI", family, byte, 0, 0, 0xFFFF_FFFF) + bytes(48) + beside
            bodies = netlink.ask(_NETLINK_SOCK_DIAG, _BY_FAMILY, request, dump=True, nothing=_CANNOT_TELL)
            for body in bodies:
                if len(body) >= _DIAG_HEADER:
                    yield _socket(body, protocol)


def _socket(body: bytes, protocol: int) -> OpenSocket:
    (ifindex,) = struct.unpack_from("=I", body, 40)  # struct inet_diag_sockid, idiag_if
    (inode,) = struct.unpack_from("=I", body, 68)
    found = dict(attributes(body, _DIAG_HEADER))
    mark = int.from_bytes(found.get(_MARK, b""), sys.byteorder)
    return OpenSocket(inode, protocol, mark, ifindex)
