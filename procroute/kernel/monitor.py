"""News from the kernel: links, addresses, entries, rules, neighbours, rp_filter (rtnetlink(7)), nft rules.

And from files: those that name the resolvers of the system or an adapter, leases, the names of our tables.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

from procroute.core.answers import Neighbour
from procroute.identity import NFT_TABLE, TABLE_NAMES_FILE
from procroute.kernel import leases, name_servers, network_manager, resolvers
from procroute.kernel.entry_messages import attributes
from procroute.kernel.neighbours import DELAY, FAILED, PROBE, STALE
from procroute.kernel.netlink import HEADER, notices
from procroute.kernel.watch import Watch
from procroute.kernel.witness import NETFILTER, ROUTING, Witness

# linux/rtnetlink.h: RTNLGRP_*
_LINK, _NEIGHBOUR, _ADDRESS4, _ENTRY4, _RULE4, _ADDRESS6, _ENTRY6, _RULE6 = 1, 3, 5, 7, 8, 9, 11, 19
_SETTINGS4, _NEXT_HOP = 24, 32
_GROUPS = (_LINK, _NEIGHBOUR, _ADDRESS4, _ENTRY4, _RULE4, _ADDRESS6, _ENTRY6, _RULE6, _SETTINGS4, _NEXT_HOP)
# linux/netfilter/nfnetlink.h, nf_tables.h: tables, chains and rules that come and go; elements of our sets.
_NF_TABLES_GROUP, _NF_TABLES = 7, 10
_RULESET = frozenset(_NF_TABLES << 8 | message for message in (0, 2, 3, 5, 6, 8))
_ELEMENTS = frozenset(_NF_TABLES << 8 | message for message in (12, 14))
_OURS = NFT_TABLE.encode() + b"\0"
_ADD_MEMBERSHIP = 1
_SOL_NETLINK = 270
_NEW_ENTRY, _DELETE_ENTRY, _NEW_NEIGHBOUR, _DELETE_NEIGHBOUR = 24, 25, 28, 29
_MAIN = 254
# Bytes that wait at most; they take memory only then. More than wmem_max takes privilege (socket(7)).
_BUFFER = 1 << 20
_SO_RCVBUFFORCE = 33
_LOST = -1
_DESTINATION = 1
_ROUTINE = STALE | DELAY | PROBE


class Monitor:
    """Descriptors that become readable when something may have changed.

    protocol: the number that our entries carry. failed: neighbours that were said to have failed. Who uses
    one sets it to INCOMPLETE again at once, so a look alone would hardly ever see it. witness: remembers who
    changed what is ours, where that is asked for.
    """

    def __init__(self, protocol: int, witness: Witness | None = None) -> None:
        self.failed: set[Neighbour] = set()
        self.witness = witness
        self._protocol = protocol
        self._routing = _listen(ROUTING, _GROUPS)
        self._ruleset: socket.socket | None = None
        # A kernel without nf_tables has no ruleset to hear of.
        with contextlib.suppress(OSError):
            self._ruleset = _listen(NETFILTER, (_NF_TABLES_GROUP,))
        self._files: Watch | None = None
        # Where this user has all the watches that it may have we go without.
        with contextlib.suppress(OSError):
            files = [*resolvers.FILES, Path(TABLE_NAMES_FILE), *network_manager.NEWS]
            self._files = Watch(files, [leases.FOLDER, *name_servers.FOLDERS, network_manager.DEVICES])

    def filenos(self) -> list[int]:
        """For poll(2)."""
        return [s.fileno() for s in (self._routing, self._ruleset, self._files) if s is not None]

    def drain(self) -> bool:
        """Read what has come; whether any of it is a reason to look. Lost news (ENOBUFS) are one.

        Raises OSError for what else the kernel has to say of a socket.
        """
        # All are read to the end: what is left would wake us again.
        if self.witness is not None:
            self.witness.begin()
        routing = [self._of_routing(*notice) for notice in _read(self._routing)]
        ruleset = [self._of_ruleset(*n) for n in _read(self._ruleset)] if self._ruleset else []
        files = self._files is not None and self._files.drain()
        return any(routing) or any(ruleset) or files

    def _of_routing(self, kind: int, port: int, message: bytes) -> bool:
        if kind == _LOST:
            return self._lost()
        body = message[HEADER.size :]
        if kind == _NEW_NEIGHBOUR and (failed := _failed(body)) is not None:
            self.failed.add(failed)
        elif self.witness is not None:
            self.witness.of_routing(kind, port, message)
        return self._matters(kind, body)

    def _of_ruleset(self, kind: int, port: int, message: bytes) -> bool:
        if kind == _LOST:
            return self._lost()
        if self.witness is not None:
            self.witness.of_ruleset(kind, port, message)
        return _decides(kind, message[HEADER.size :])

    def _lost(self) -> bool:
        if self.witness is not None:
            self.witness.lost()
        return True

    def _matters(self, kind: int, body: bytes) -> bool:
        """Whether a message can change what should be. A neighbour's routine ageing cannot, nor can other
        people's entries in tables that nobody reads.
        """
        if kind == _DELETE_NEIGHBOUR or len(body) < 12:
            return False
        if kind == _NEW_NEIGHBOUR:
            state = struct.unpack_from("=H", body, 8)[0]
            return not state & _ROUTINE
        if kind in (_NEW_ENTRY, _DELETE_ENTRY):
            table, protocol = body[4], body[5]  # struct rtmsg
            return table == _MAIN or protocol == self._protocol
        return True

    def close(self) -> None:
        """Stop listening."""
        self._routing.close()
        for other in (self._ruleset, self._files):
            if other is not None:
                other.close()


def _listen(protocol: int, groups: Iterable[int]) -> socket.socket:
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    s.bind((0, 0))
    with contextlib.suppress(PermissionError):
        s.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    for group in groups:
        s.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return s


def _read(s: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """The type, port and whole of each message that has come; one of type _LOST stands for lost ones."""
    while True:
        try:
            data = s.recv(1 << 17)
        except BlockingIOError:
            return
        except OSError as e:
            if e.errno != errno.ENOBUFS:
                raise
            yield _LOST, 0, b""
        else:
            yield from notices(data)


def _failed(body: bytes) -> Neighbour | None:
    """The neighbour that a message says has failed (linux/neighbour.h, struct ndmsg; NDA_DST)."""
    if len(body) < 16:
        return None
    ifindex, state = struct.unpack_from("=iH", body, 4)
    address = dict(attributes(body, 12)).get(_DESTINATION, b"") if state & FAILED else b""
    return (ifindex, ip_address(address)) if len(address) in (4, 16) else None


def _decides(kind: int, body: bytes) -> bool:
    """Whether nft news can change what should be."""
    return kind in _RULESET or (kind in _ELEMENTS and _OURS in body)
