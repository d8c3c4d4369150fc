"""nf_tables asked over netlink, without libnftables (linux/netfilter/nf_tables.h).

Where the kernel has no nf_tables there is nothing. Raises OSError for any other refusal; InterruptedError
when the ruleset changed meanwhile.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection

from procroute.kernel import netlink

# linux/netlink.h, linux/netfilter.h, linux/netfilter/nfnetlink.h, nf_tables.h
_NETLINK_NETFILTER, _SUBSYSTEM = 12, 10
_ANY_FAMILY, _INET = 0, 1
_GET_TABLE, _GET_RULE = 1, 7
_TABLE_NAME = 1
# What socket(2) and nfnetlink (nfnetlink_rcv_msg, for an unknown subsystem) say without CONFIG_NF_TABLES.
_NO_NF_TABLES = frozenset({errno.EPROTONOSUPPORT, errno.EINVAL})


def has_table(name: str) -> bool:
    """Whether there is a table of this name in the family inet."""
    value = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(value), _TABLE_NAME) + value
    body = attribute + bytes(-len(attribute) % 4)
    return bool(_ask(_GET_TABLE, _INET, body, dump=False, nothing=_NO_NF_TABLES | {errno.ENOENT}))


def every_rule() -> list[bytes]:
    """The messages of all rules, of all families and tables."""
    return _ask(_GET_RULE, _ANY_FAMILY, b"", dump=True, nothing=_NO_NF_TABLES)


def _ask(
    message: int, family: int, attributes: bytes, *, dump: bool, nothing: Collection[int]
) -> list[bytes]:
    body = struct.pack("!BBH", family, 0, 0) + attributes
    return netlink.ask(_NETLINK_NETFILTER, _SUBSYSTEM << 8 | message, body, dump=dump, nothing=nothing)
