"""Entries of routing tables: read them, add and delete many at a time."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import Literal

from procroute.kernel import entry_messages
from procroute.kernel.netlink import HEADER
from procroute.kernel.nexthops import NextHops
from procroute.kernel.refusal import refused
from procroute.kernel.rtnetlink import APPEND, CREATE, Rtnetlink
from procroute.model import Entry, Family

Command = Literal["add", "del"]

# linux/rtnetlink.h
_NEW, _DELETE, _GET = 24, 25, 26
_ABSENT = {errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL}


def read(netlink: Rtnetlink, family: Family, *, table: int = 0, protocol: int = 0) -> Iterator[Entry]:
    """Entries of one family, filtered by the kernel: those of a table, or with a protocol. Raises OSError."""
    try:
        answers = netlink.dump(_GET, entry_messages.request(family, table, protocol))
    except FileNotFoundError:  # nothing was ever put into this table
        return
    objects = NextHops(netlink)
    for answer in answers:
        entry = entry_messages.decoded(answer[HEADER.size :], objects.hops)
        if entry is not None:
            yield entry


def change(netlink: Rtnetlink, command: Command, entries: Sequence[Entry]) -> None:
    """Add or delete entries, in order. What is there, or gone, already is no error.

    Raises ProcrouteError for the first that the kernel refused; some after it may have been made.
    """
    # Appended: two entries for one destination by different adapters may stand side by side.
    kind, flags = (_NEW, CREATE | APPEND) if command == "add" else (_DELETE, 0)
    answers = netlink.change((kind, flags, entry_messages.encoded(entry)) for entry in entries)
    for entry, number in zip(entries, answers, strict=False):
        if not done(command, number):
            what = f"{command} the entry {entry.destination} in table {entry.table}"
            raise refused(number, "entry", what)


def done(command: Command, number: int) -> bool:
    """Whether what was asked for is so now. number: the kernel's answer to it, 0 or an errno."""
    return number == 0 or (number in _ABSENT if command == "del" else number == errno.EEXIST)
