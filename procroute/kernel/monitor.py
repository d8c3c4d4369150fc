"""News from the kernel: links, addresses, entries, rules, neighbours, rp_filter (rtnetlink(7)), nft rules.

And from the files that name the system's resolvers.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from procroute.core.answers import Neighbour
from procroute.kernel import resolvers
from procroute.kernel.neighbours import DELAY, FAILED, PROBE, STALE
from procroute.kernel.netlink import messages
from procroute.kernel.watch import Watch

# linux/rtnetlink.h: RTNLGRP_*
_LINK, _NEIGHBOUR, _ADDRESS4, _ENTRY4, _RULE4, _ADDRESS6, _ENTRY6, _RULE6 = 1, 3, 5, 7, 8, 9, 11, 19
_SETTINGS4, _NEXT_HOP = 24, 32
_GROUPS = (_LINK, _NEIGHBOUR, _ADDRESS4, _ENTRY4, _RULE4, _ADDRESS6, _ENTRY6, _RULE6, _SETTINGS4, _NEXT_HOP)
# linux/netfilter/nfnetlink.h, nf_tables.h: tables, chains and rules that come and go; not elements of sets.
_NETLINK_NETFILTER, _NF_TABLES_GROUP, _NF_TABLES = 12, 7, 10
_RULESET = frozenset(_NF_TABLES << 8 | message for message in (0, 2, 3, 5, 6, 8))
_ADD_MEMBERSHIP = 1
_SOL_NETLINK = 270
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR = 28, 29
_LOST = (_NF_TABLES << 8, bytes(16))
_DESTINATION = 1
_ROUTINE = STALE | DELAY | PROBE


class Monitor:
    """Descriptors that become readable when something may have changed.

    failed: neighbours that were said to have failed. Who uses one sets it to INCOMPLETE again at once, so a
    look alone would hardly ever see it.
    """

    def __init__(self) -> None:
        self.failed: set[Neighbour] = set()
        self._routing = _listen(socket.NETLINK_ROUTE, _GROUPS)
        self._ruleset: socket.socket | None = None
        # A kernel without nf_tables has no ruleset to hear of.
        with contextlib.suppress(OSError):
            self._ruleset = _listen(_NETLINK_NETFILTER, (_NF_TABLES_GROUP,))
        self._files: Watch | None = None
        # Where this user has all the watches that it may have we go without.
        with contextlib.suppress(OSError):
            self._files = Watch(resolvers.FILES)

    def filenos(self) -> list[int]:
        """For poll(2)."""
        return [s.fileno() for s in (self._routing, self._ruleset, self._files) if s is not None]

    def drain(self) -> bool:
        """Read what has come; whether any of it is a reason to look. Lost news (ENOBUFS) are one.

        Raises OSError for what else the kernel has to say of a socket.
        """
        # All are read to the end: what is left would wake us again.
        routing = []
        for kind, body in _read(self._routing):
            routing.append(_matters(kind, body))
            if kind == _NEW_NEIGHBOUR and (failed := _failed(body)) is not None:
                self.failed.add(failed)
        ruleset = [kind in _RULESET for kind, _ in _read(self._ruleset)] if self._ruleset else []
        files = self._files is not None and self._files.drain()
        return any(routing) or any(ruleset) or files

    def close(self) -> None:
        """Stop listening."""
        self._routing.close()
        for other in (self._ruleset, self._files):
            if other is not None:
                other.close()


def _listen(protocol: int, groups: Iterable[int]) -> socket.socket:
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    s.bind((0, 0))
    for group in groups:
        s.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return s


def _read(s: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The type and body of each message that has come; one that matters stands for lost ones."""
    while True:
        try:
            data = s.recv(1 << 17)
        except BlockingIOError:
            return
        except OSError as e:
            if e.errno != errno.ENOBUFS:
                raise
            yield _LOST
        else:
            yield from messages(data)


def _failed(body: bytes) -> Neighbour | None:
    """The neighbour that a message says has failed (linux/neighbour.h, struct ndmsg; NDA_DST)."""
    if len(body) < 16:
        return None
    ifindex, state = struct.unpack_from("=iH", body, 4)
    attributes = body[12:]
    while state & FAILED and len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == _DESTINATION and length in (8, 20):
            return ifindex, ip_address(attributes[4:length])
        attributes = attributes[max(4, (length + 3) & ~3) :]
    return None


def _matters(kind: int, body: bytes) -> bool:
    """Whether a message can change what should be. A neighbour's routine ageing cannot."""
    if kind == _DELETE_NEIGHBOUR or len(body) < 12:
        return False
    if kind == _NEW_NEIGHBOUR:
        state = struct.unpack_from("=H", body, 8)[0]
        return not state & _ROUTINE
    return True
