"""Which gateways do not answer, from what the kernel says of its neighbours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from procroute.model import IPAddress

Neighbour = tuple[int, IPAddress]
"""ifindex and address."""


class Answer(Enum):
    """What the kernel knows of a neighbour's answer to ARP or ND (linux/neighbour.h, NUD_*).

    OLD: there was one, or the neighbour asked us itself (STALE); it may be deaf by now.
    """

    GIVEN = "given"
    OLD = "old"
    AWAITED = "awaited"
    NONE = "none"


def unanswering(before: Collection[Neighbour], now: Mapping[Neighbour, Answer]) -> frozenset[Neighbour]:
    """Those that failed to answer and have not answered since. before: heard of, or written down."""
    failed = {neighbour for neighbour, answer in now.items() if answer is Answer.NONE}
    given = {neighbour for neighbour, answer in now.items() if answer is Answer.GIVEN}
    return frozenset({*before, *failed} - given)
