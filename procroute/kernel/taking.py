"""Sockets of other processes, taken by pidfd_getfd(2) for as long as something is asked of them or set.

with taken(pidfd, descriptor, inode) as sock:
    set_mark(sock, mark)
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import ip_address

from msgspec import Struct

from procroute.kernel.faults import passed
from procroute.kernel.libc import call
from procroute.model import IPAddress, unmapped

_PIDFD_GETFD = 438  # asm-generic/unistd.h; the same everywhere but on alpha
# ip(7), ipv6(7); include/uapi/linux/in.h, in6.h
_UNICAST_IF = {socket.AF_INET: (socket.IPPROTO_IP, 50), socket.AF_INET6: (socket.IPPROTO_IPV6, 76)}
# asm-generic/socket.h
_BIND_TO_IFINDEX, _NETNS_COOKIE = 62, 71
_OWN_NAMES = frozenset({"TCP", "UDP", "PING", "RAW", "MPTCP", "UDP-Lite", "SCTP", "DCCP"})
_GONE = frozenset({errno.EBADF, errno.ESRCH})


class Facts(Struct, frozen=True):
    """What a socket says of itself. remote: None where it is not connected; reuse: it may share its port.

    ifindex: the adapter that it is tied to (SO_BINDTODEVICE; of datagrams IP_UNICAST_IF, too); 0: to none.
    namespace: the cookie of its network namespace, 0 where the kernel has none (before Linux 5.14).
    """

    kind: int
    protocol: int
    local: IPAddress
    local_port: int
    remote: IPAddress | None
    ifindex: int
    mark: int
    listening: bool
    reuse: bool
    namespace: int


def is_inet(pid: int, descriptor: int) -> bool:
    """Whether a process's socket is one of the internet's, by the name of its protocol in the kernel.

    That is an attribute which every socket has (net/socket.c, system.sockprotoname).
    """
    try:
        name = os.getxattr(f"/proc/{pid}/fd/{descriptor}", "system.sockprotoname")
    except OSError:
        return False
    return name.rstrip(b"\0").decode(errors="replace").removesuffix("v6") in _OWN_NAMES


@contextmanager
def taken(pidfd: int, descriptor: int, inode: int) -> Iterator[socket.socket | None]:
    """A socket of a pinned process; None where that descriptor is no more of this socket. Raises OSError."""
    try:
        own = call("syscall", _PIDFD_GETFD, pidfd, descriptor, 0)
    except OSError as e:
        if e.errno not in _GONE:
            raise
        yield None
        return
    if os.fstat(own).st_ino != inode:
        os.close(own)
        yield None
        return
    with socket.socket(fileno=own) as sock:
        yield sock


def facts(sock: socket.socket) -> Facts | None:
    """What an internet socket says; None where it is of another kind. Raises OSError."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    local, port, remote, listening = use(sock)

    def option(name: int) -> int:
        return sock.getsockopt(socket.SOL_SOCKET, name)

    return Facts(
        sock.type,
        sock.proto,
        local,
        port,
        remote,
        option(_BIND_TO_IFINDEX) or (_unicast(sock) if sock.type == socket.SOCK_DGRAM else 0),
        mark(sock),
        listening,
        bool(option(socket.SO_REUSEADDR) or option(socket.SO_REUSEPORT)),
        _cookie(sock),
    )


def use(sock: socket.socket) -> tuple[IPAddress, int, IPAddress | None, bool]:
    """What an internet socket is used for: its address and port, who it is connected to, whether it listens.

    Raises OSError.
    """
    local, port = _end(sock.getsockname())
    try:
        remote: IPAddress | None = _end(sock.getpeername())[0]
    except OSError:
        remote = None
    return local, port, remote, bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def mark(sock: socket.socket) -> int:
    """The mark of a socket (socket(7), SO_MARK)."""
    return int(struct.unpack("=I", sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK, 4))[0])


def set_mark(sock: socket.socket, value: int, mask: int) -> None:
    """Give a socket these bits of a mark; those outside the mask stay. Raises OSError.

    What it sends next is routed anew.
    """
    new = (mark(sock) & ~mask) | value
    option = (socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", new))
    passed("setsockopt", "SO_MARK", sock.setsockopt, *option)


def _unicast(sock: socket.socket) -> int:
    """The adapter that it sends by. IPv6 sockets send IPv4, too."""
    both = (_UNICAST_IF[socket.AF_INET], _UNICAST_IF[sock.family])
    return next((socket.ntohl(n) for level, name in both if (n := sock.getsockopt(level, name))), 0)


def _cookie(sock: socket.socket) -> int:
    try:
        return int(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8))[0])
    except OSError:
        return 0


def _end(name: tuple[str, int]) -> tuple[IPAddress, int]:
    return _address(name[0]), name[1]


@lru_cache(1024)  # of few addresses there are many sockets
def _address(text: str) -> IPAddress:
    return unmapped(ip_address(text.partition("%")[0]))
