"""Whether gateways answer: the neighbour table of ARP and ND (arp(7), rtnetlink(7))."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

from procroute.core.answers import Answer, Neighbour
from procroute.kernel.entry_messages import AF
from procroute.kernel.netlink import HEADER
from procroute.kernel.pyroute2_messages import ndmsg, packed, unpacked
from procroute.kernel.rtnetlink import CREATE, REPLACE, Rtnetlink
from procroute.model import Family

# linux/neighbour.h
INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED, NO_ARP, PERMANENT = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
_ANSWERED = REACHABLE | NO_ARP | PERMANENT
_USE = 0x1
# linux/rtnetlink.h
_NEW, _GET = 28, 30


def answer(state: int) -> Answer:
    """What a state says. STALE is what a gateway's own questions make of an entry, too: no answer."""
    if state & FAILED:
        return Answer.NONE
    if state & INCOMPLETE:
        return Answer.AWAITED
    return Answer.GIVEN if state & _ANSWERED else Answer.OLD


def states(netlink: Rtnetlink, wanted: Collection[Neighbour]) -> dict[Neighbour, int]:
    """(ifindex, address) -> state, for those of the wanted neighbours that the kernel has an entry for.

    Raises OSError.
    """
    found: dict[Neighbour, int] = {}
    for ifindex, family in {(ifindex, Family.of(address)) for ifindex, address in wanted}:
        request = ndmsg()
        request["family"] = AF[family]
        request["attrs"] = [("NDA_IFINDEX", ifindex)]
        for data in netlink.dump(_GET, packed(request)):
            message = unpacked(ndmsg, data[HEADER.size :])
            address = message.get_attr("NDA_DST")
            if address and (message["ifindex"], ip_address(address)) in wanted:
                found[message["ifindex"], ip_address(address)] = message["state"]
    return found


def ask_again(netlink: Rtnetlink, neighbour: Neighbour, state: int) -> None:
    """Have the kernel resolve a neighbour once more. state: the one it was last seen in, 0 for no entry.

    Raises OSError; a neighbour or adapter that is gone is no error.
    """
    ifindex, address = neighbour
    if state & (INCOMPLETE | PROBE):  # it is being asked
        return
    # An entry whose link address is known would only be asked after seconds (delay_first_probe_time).
    known = bool(state & (STALE | DELAY))
    request = ndmsg()
    request["family"] = AF[Family.of(address)]
    request["ifindex"] = ifindex
    request["state"] = PROBE if known else 0
    request["flags"] = 0 if known else _USE
    request["attrs"] = [("NDA_DST", str(address))]
    netlink.change([(_NEW, REPLACE if known else CREATE | REPLACE, packed(request))])
