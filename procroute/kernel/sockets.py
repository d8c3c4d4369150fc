"""TCP and UDP sockets of this network namespace, through sock_diag(7): whose they are, and their end.

Sockets that were never bound, connected or sent from are in no list of the kernel's: see taking.py.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address

from msgspec import Struct

from procroute.kernel import netlink
from procroute.kernel.entry_messages import attributes
from procroute.model import IPAddress, unmapped

# linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _BY_FAMILY, _DESTROY = 4, 20, 21
_BYTECODE, _JUMP, _MARK_CONDITION, _CGROUP_CONDITION = 1, 1, 10, 13
_MARK, _CGROUP_ID = 15, 21
_LISTED = 72  # bytes of struct inet_diag_msg
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
TCP, UDP, MPTCP = socket.IPPROTO_TCP, socket.IPPROTO_UDP, 262
# MPTCP's number does not fit into a byte: TCP's stands there, and an attribute beside it.
_IS_MPTCP = struct.pack("=HHI", 8, 3, MPTCP)  # INET_DIAG_REQ_PROTOCOL
# net/tcp_states.h; of UDP: connected
ESTABLISHED, TIME_WAIT, LISTEN = 1, 6, 10
# Without CONFIG_INET_DIAG (socket(2), sock_diag); where the kernel does not know the condition.
_CANNOT_TELL = frozenset({errno.EPROTONOSUPPORT, errno.ENOENT, errno.EINVAL})
_GONE = frozenset({errno.ENOENT, errno.ESTALE})


class InetSocket(Struct, frozen=True):
    """A TCP, UDP or MPTCP socket as the kernel lists it. inode 0: nobody holds it any more, or not yet.

    identity: struct inet_diag_sockid. mark: None where the kernel does not tell it (without CAP_NET_ADMIN, in
    TIME_WAIT). cgroup: the id of the one it was made in, also when that is gone; 0 where it is not told
    (before Linux 5.9).
    """

    family: int
    state: int
    inode: int
    identity: bytes
    unsent: int = 0
    protocol: int = TCP
    mark: int | None = None
    cgroup: int = 0

    @property
    def sending(self) -> bool:
        """Whether data waits for the peer's acknowledgement; our FIN alone counts as one byte."""
        return self.unsent > 1

    @property
    def local(self) -> IPAddress:
        """The address that it is bound to; all zeros: any."""
        return self._address(4)

    @property
    def remote(self) -> IPAddress:
        """The address that it is connected to; all zeros: none."""
        return self._address(20)

    @property
    def local_port(self) -> int:
        """The port that it is bound to."""
        return int.from_bytes(self.identity[0:2], "big")

    @property
    def remote_port(self) -> int:
        """The port that it is connected to; 0: to none."""
        return int.from_bytes(self.identity[2:4], "big")

    @property
    def ifindex(self) -> int:
        """The adapter that it is tied to (SO_BINDTODEVICE); 0: to none."""
        return int(struct.unpack_from("=I", self.identity, 36)[0])

    def _address(self, at: int) -> IPAddress:
        return _address(self.identity[at : at + (4 if self.family == socket.AF_INET else 16)])


@lru_cache(1024)  # of few addresses there are many sockets
def _address(packed: bytes) -> IPAddress:
    """IPv4 addresses that an IPv6 socket uses (::ffff:a.b.c.d) as what they are."""
    return unmapped(ip_address(packed))


def listed(*protocols: int) -> Iterator[InetSocket]:
    """All sockets of these protocols (TCP, UDP, MPTCP). None without CONFIG_INET_DIAG. Raises OSError."""
    for protocol in protocols:
        yield from _dump(protocol)


def with_any_mark(protocol: int, mask: int) -> Iterator[InetSocket]:
    """Those whose mark has some of the bits of `mask`, in TIME_WAIT too.

    None where the kernel cannot tell, as of with_mark. Raises OSError.
    """
    # Without any of the bits: on to the jump, which leads out, and so to no match. Else over it, to the end.
    without = struct.pack("=BBHII", _MARK_CONDITION, 12, 16, 0, mask)
    return _dump(protocol, without + struct.pack("=BBH", _JUMP, 4, 8))


def with_mark(protocol: int, mark: int, mask: int) -> Iterator[InetSocket]:
    """Those whose mark matches, in TIME_WAIT too.

    None where the kernel cannot tell: without INET_DIAG, or its mark condition (Linux 4.10). Raises OSError.
    """
    return _dump(protocol, _matching(_MARK_CONDITION, struct.pack("=II", mark, mask)))


def tcp_of_cgroup(cgroup: int) -> Iterator[InetSocket]:
    """The TCP sockets that were made in a cgroup, by its id, also when that is gone; none in TIME_WAIT.

    None where the kernel cannot tell: without INET_DIAG, or its cgroup condition (Linux 5.9). Raises OSError.
    """
    return _dump(TCP, _matching(_CGROUP_CONDITION, struct.pack("=Q", cgroup)))


def _matching(operation: int, operand: bytes) -> bytes:
    """Bytecode that lets through what matches. operand: of 8 bytes."""
    # Behind the operation and its operand: match goes on to the end, no match jumps out.
    return struct.pack("=BBH", operation, 12, 16) + operand


def _dump(protocol: int, condition: bytes = b"") -> Iterator[InetSocket]:
    byte, beside = (TCP, _IS_MPTCP) if protocol == MPTCP else (protocol, b"")
    if condition:
        beside += struct.pack("=HH", 4 + len(condition), _BYTECODE) + condition
    for family in _FAMILIES:
        request = struct.pack("=BBBBI", family, byte, 0, 0, 0xFFFF_FFFF) + bytes(48) + beside
        for body in netlink.ask(_NETLINK_SOCK_DIAG, _BY_FAMILY, request, dump=True, nothing=_CANNOT_TELL):
            if len(body) >= _LISTED:
                yield _read(protocol, body)


def _read(protocol: int, body: bytes) -> InetSocket:
    """From a struct inet_diag_msg and the attributes behind it."""
    unsent, _, inode = struct.unpack_from("=III", body, 60)
    found = dict(attributes(body, _LISTED))
    mark = int.from_bytes(found[_MARK], sys.byteorder) if _MARK in found else None
    cgroup = int.from_bytes(found.get(_CGROUP_ID, b""), sys.byteorder)
    return InetSocket(body[0], body[1], inode, body[4:52], unsent, protocol, mark, cgroup)


def destroy(one: InetSocket) -> bool:
    """End a socket as SOCK_DESTROY does: its peer is told where the state asks for it. One gone is no error.

    False where the kernel cannot: without CONFIG_INET_DIAG_DESTROY, and before Linux 6.5 in TIME_WAIT.
    Raises OSError.
    """
    request = struct.pack("=BBBBI", one.family, one.protocol, 0, 0, 1 << one.state) + one.identity
    try:
        netlink.ask(_NETLINK_SOCK_DIAG, _DESTROY, request, dump=False, nothing=_GONE)
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True
