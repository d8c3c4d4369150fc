"""Whether gateways answer: the neighbour table of ARP and ND (arp(7), rtnetlink(7))."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from ipaddress import ip_address

from procroute.kernel.rtnetlink import IPRoute, NetlinkError
from procroute.kernel.tables import AF
from procroute.model import Family, IPAddress

# linux/neighbour.h
INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED, NO_ARP, PERMANENT = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
_USE = 0x1

Neighbour = tuple[int, IPAddress]


def states(ipr: IPRoute, ifindexes: Iterable[int]) -> dict[Neighbour, int]:
    """(ifindex, address) -> state, for the neighbours of these adapters."""
    found: dict[Neighbour, int] = {}
    for ifindex in ifindexes:
        for family in AF.values():
            for message in ipr.get_neighbours(family=family, ifindex=ifindex):
                address = message.get_attr("NDA_DST")
                if address and message["ifindex"] == ifindex:
                    found[ifindex, ip_address(address)] = message["state"]
    return found


def ask_again(ipr: IPRoute, neighbour: Neighbour) -> None:
    """Have the kernel resolve a neighbour once more, as if somebody used it (NTF_USE)."""
    ifindex, address = neighbour
    with contextlib.suppress(NetlinkError):
        ipr.neigh(
            "replace",
            family=AF[Family.of(address)],
            ifindex=ifindex,
            dst=str(address),
            state=0,
            flags=_USE,
        )
