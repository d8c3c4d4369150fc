"""nf_tables asked over netlink, without libnftables (linux/netfilter/nf_tables.h).

Where the kernel has no nf_tables, or there is no such table, there is nothing. Raises OSError for any other
refusal; InterruptedError when the ruleset changed meanwhile. Tables are those of the family inet.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

from procroute.core.ruleset import Counter
from procroute.kernel import netlink

# linux/netlink.h, linux/netfilter.h, linux/netfilter/nfnetlink.h, nf_tables.h
_NETLINK_NETFILTER, _SUBSYSTEM = 12, 10
_ANY_FAMILY, _INET = 0, 1
_GET_TABLE, _GET_RULE, _GET_ELEMENTS, _GET_GENERATION, _GET_OBJECTS = 1, 7, 13, 16, 19
_GENERATION = 1  # NFTA_GEN_ID
# NFTA_*: the first attribute of a table, a rule, elements and an object names the table.
_TABLE, _TABLE_DATA = 1, 6
_SET, _ELEMENTS = 2, 3
_KEY, _DATA, _VALUE, _VERDICT, _CHAIN = 1, 2, 1, 2, 2
_NAME, _OBJECT = 2, 4
_BYTES, _PACKETS = 1, 2
_NESTED = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_COMMENT = 0  # libnftnl, udata.h: NFTNL_UDATA_TABLE_COMMENT
# What socket(2) and nfnetlink (nfnetlink_rcv_msg, for an unknown subsystem) say without CONFIG_NF_TABLES.
_NO_NF_TABLES = frozenset({errno.EPROTONOSUPPORT, errno.EINVAL})
_NOT_THERE = _NO_NF_TABLES | {errno.ENOENT}
_T = TypeVar("_T")


class Unchanged(Generic[_T]):
    """What was read of nf_tables: it holds for as long as nobody changes anything there.

    Packets that count change nothing. Reading thousands of rules takes 20 ms.
    """

    def __init__(self) -> None:
        self._read: tuple[int, object, _T] | None = None

    def get(self, read: Callable[[], _T], about: object = None) -> _T:
        """As `read` tells, which is asked where that may be new. about: what else it hangs on."""
        # Asked first: what changes while it is read is read again the next time.
        now = generation()
        if now is None:
            return read()
        if self._read is None or self._read[:2] != (now, about):
            self._read = now, about, read()
        return self._read[2]


def generation() -> int | None:
    """The number of the ruleset of this network namespace, another one after each change; None: not told."""
    for body in _ask(_GET_GENERATION, _ANY_FAMILY, b"", dump=False, nothing=_NO_NF_TABLES):
        return int.from_bytes(dict(_attributes(body)).get(_GENERATION, b"")) or None
    return None


def comment(table: str) -> str | None:
    """The comment of a table, None where there is no such table."""
    for body in _ask(_GET_TABLE, _INET, _named((_TABLE, table)), dump=False, nothing=_NOT_THERE):
        data = dict(_attributes(body)).get(_TABLE_DATA, b"")
        if len(data) > 2 and data[0] == _COMMENT:
            return data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace")
        return ""
    return None


def every_rule(but: str) -> list[bytes]:
    """The messages of all rules, of all families and tables except `but`."""
    found = _ask(_GET_RULE, _ANY_FAMILY, b"", dump=True, nothing=_NO_NF_TABLES)
    own = but.encode() + b"\0"
    return [body for body in found if body[0] != _INET or dict(_attributes(body)).get(_TABLE) != own]


def count_rules(table: str) -> int:
    """How many rules a table has."""
    return len(_ask(_GET_RULE, _INET, _named((_TABLE, table)), dump=True, nothing=_NOT_THERE))


def verdicts(table: str, name: str) -> dict[bytes, str]:
    """The elements of a map of verdicts: key -> the chain that it leads to."""
    found = {}
    asked = _named((_TABLE, table), (_SET, name))
    for body in _ask(_GET_ELEMENTS, _INET, asked, dump=True, nothing=_NOT_THERE):
        for _, element in _attributes(dict(_attributes(body)).get(_ELEMENTS, b""), 0):
            parts = dict(_attributes(element, 0))
            key = dict(_attributes(parts.get(_KEY, b""), 0)).get(_VALUE, b"")
            verdict = dict(_attributes(parts.get(_DATA, b""), 0)).get(_VERDICT, b"")
            chain = dict(_attributes(verdict, 0)).get(_CHAIN, b"")
            found[key] = chain.rstrip(b"\0").decode(errors="replace")
    return found


def counters(table: str) -> dict[str, Counter]:
    """What the named counters of a table stand at."""
    found = {}
    for body in _ask(_GET_OBJECTS, _INET, _named((_TABLE, table)), dump=True, nothing=_NOT_THERE):
        parts = dict(_attributes(body))
        values = dict(_attributes(parts.get(_OBJECT, b""), 0))
        if {_BYTES, _PACKETS} <= values.keys():
            name = parts.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
            packets, size = (struct.unpack("!Q", values[kind])[0] for kind in (_PACKETS, _BYTES))
            found[name] = Counter(packets, size)
    return found


def _named(*names: tuple[int, str]) -> bytes:
    """Attributes with strings."""
    found = b""
    for kind, name in names:
        value = name.encode() + b"\0"
        found += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return found


def _attributes(data: bytes, at: int = 4) -> Iterator[tuple[int, bytes]]:
    """The attributes in a message, behind its struct nfgenmsg, or, from 0 on, in another attribute."""
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & _NESTED, data[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)


def _ask(
    message: int, family: int, attributes: bytes, *, dump: bool, nothing: Collection[int]
) -> list[bytes]:
    body = struct.pack("!BBH", family, 0, 0) + attributes
    return netlink.ask(_NETLINK_NETFILTER, _SUBSYSTEM << 8 | message, body, dump=dump, nothing=nothing)
