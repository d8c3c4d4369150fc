"""Remembers who changed what of ours, from the notices that tell of it (rtnetlink(7), nf_tables.h).

What they say is only taken apart when somebody wants to know.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final

from procroute.core.damage import ADAPTERS, NFT_TABLE, Author, Deed, Thing
from procroute.identity import NFT_TABLE as OUR_TABLE
from procroute.kernel import authors, entry_messages, rules
from procroute.kernel.netlink import HEADER

# linux/netlink.h, linux/rtnetlink.h
ROUTING, NETFILTER = 0, 12
_LINKS_AND_ADDRESSES: Final = frozenset({16, 17, 20, 21})
_ENTRIES, _RULES, _DELETIONS = (24, 25), (32, 33), (25, 33)
_PROTOCOL_OF_RULE: Final = 21
# linux/netfilter/nf_tables.h; NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME
_SUBSYSTEM: Final = 10 << 8
_NEW_TABLE, _DELETE_TABLE, _NEW_GENERATION = _SUBSYSTEM | 0, _SUBSYSTEM | 2, _SUBSYSTEM | 15
_PID, _NAME = 2, 3
_NAMED: Final = OUR_TABLE.encode() + b"\0"
_INET: Final = 1
_AT_MOST: Final = 2048


class Witness:
    """Of what carries a protocol number, and of our nft table. heard: how many notices were remembered.

    missed: some were lost since all was last seen to be as it should be.
    """

    def __init__(self, protocol: int) -> None:
        self.heard = 0
        self.missed = False
        self._protocol = protocol
        self._last: deque[tuple[int, bytes, Author]] = deque(maxlen=_AT_MOST)
        self._ports: dict[int, Author] = {}
        self._touched = self._made = False

    def begin(self) -> None:
        """What is read from here on has just come; a pid may be another process's by now."""
        self._ports.clear()

    def lost(self) -> None:
        """News were lost: who did what cannot be said of what came before."""
        self._last.clear()
        self._touched = self._made = False
        self.missed = True

    def of_routing(self, kind: int, port: int, message: bytes) -> None:
        """A notice of rtnetlink."""
        if kind in _LINKS_AND_ADDRESSES or self._is_ours(kind, message):
            self._note(kind, message, self._author(port))

    def of_ruleset(self, kind: int, port: int, message: bytes) -> None:
        """A notice of nf_tables: after those of one transaction comes who it was by."""
        if kind == _NEW_GENERATION:
            if self._touched:
                self._note(kind, bytes([self._made]), self._by(port, message))
            self._touched = self._made = False
        elif _names_ours(message):
            self._touched = True
            self._made = kind == _NEW_TABLE or (self._made and kind != _DELETE_TABLE)

    def deeds(self) -> list[Deed]:
        """What is remembered, the oldest first."""
        read = ((thing, kind, author) for kind, m, author in self._last if (thing := _thing(kind, m)))
        return [Deed(thing, kind in _DELETIONS, author) for thing, kind, author in read]

    @property
    def suspects(self) -> bool:
        """Whether any of it is about more than adapters."""
        return any(kind not in _LINKS_AND_ADDRESSES for kind, _, _ in self._last)

    def forget(self, heard: int) -> None:
        """Those of the first so many that are still remembered; what was lost counts no more either."""
        self.missed = False
        for _ in range(min(len(self._last), heard - (self.heard - len(self._last)))):
            self._last.popleft()

    def _note(self, kind: int, message: bytes, author: Author) -> None:
        if not author.ours:
            self.heard += 1
            self.missed = self.missed or len(self._last) == _AT_MOST
            self._last.append((kind, message, author))

    def _author(self, port: int) -> Author:
        if port not in self._ports:
            self._ports[port] = authors.of_port(ROUTING, port)
        return self._ports[port]

    def _is_ours(self, kind: int, message: bytes) -> bool:
        if kind in _ENTRIES:
            return message[HEADER.size + 5] == self._protocol  # struct rtmsg, rtm_protocol
        if kind in _RULES:
            attributes = dict(entry_messages.attributes(message, HEADER.size + 12))
            return attributes.get(_PROTOCOL_OF_RULE) == bytes([self._protocol])
        return False

    def _by(self, port: int, message: bytes) -> Author:
        attributes = dict(entry_messages.attributes(message, HEADER.size + 4))
        pid = struct.unpack("!I", attributes.get(_PID, bytes(4)))[0]
        name = attributes.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
        author = authors.of_transaction(port, pid, name)
        # Nobody else makes our table; where pids are not those of the kernel it cannot be told otherwise.
        return authors.OURS if self._made and not author.ours else author


def _thing(kind: int, message: bytes) -> Thing | None:
    if kind == _NEW_GENERATION:
        return NFT_TABLE
    if kind in _RULES:
        return rules.told(message)
    if kind in _ENTRIES:
        entry = entry_messages.decoded(message[HEADER.size :])
        return (entry.table, entry.destination) if entry is not None else None
    return ADAPTERS


def _names_ours(message: bytes) -> bool:
    """Whether it is about our table: the first attribute of every object says which it is in."""
    body = message[HEADER.size :]
    if len(body) < 8 or body[0] != _INET:
        return False
    length = struct.unpack_from("=H", body, 4)[0]
    return body[8 : 4 + length] == _NAMED
