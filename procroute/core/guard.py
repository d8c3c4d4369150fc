"""What the guard does with the first packet of a conversation, as guard.bpf.c decides: the same, for people.

Answers to whoever called are none: it lets those pass by where they came in.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

from msgspec import Struct

from procroute.core.door import Door
from procroute.model import IPAddress, IPNetwork

LOOPBACK = 1  # linux/net_namespace.h, LOOPBACK_IFINDEX
# guard.bpf.c, of_link: multicast, broadcast and link-local.
_OF_LINK = tuple(
    map(ip_network, ("224.0.0.0/4", "255.255.255.255/32", "169.254.0.0/16", "ff00::/8", "fe80::/10"))
)


class Verdict(Struct, frozen=True):
    """Whether a packet passes, and why, in words that follow "the guard lets it pass: ", or "drops it: ".

    owner: the adapter that a packet from another one's address is counted for; 0: of none.
    """

    passes: bool
    why: str
    owner: int = 0


def verdict(door: Door, *, strict: bool, ifindex: int, source: IPAddress, destination: IPAddress) -> Verdict:
    """What becomes of a packet that would leave by the adapter `ifindex`."""
    if ifindex == LOOPBACK:
        return Verdict(True, "it stays on this machine")
    if ifindex in door.adapters:
        return _by_own(door, source)
    if strict:
        return Verdict(False, "it would leave by another adapter, and the route is strict")
    if _of_link(destination):
        return Verdict(True, "multicast, broadcast and link-local addresses are of one link by nature")
    prefix = lan_prefix(door, destination)
    if prefix is not None and prefix[1] & {0, ifindex}:
        return Verdict(True, f"{prefix[0]} is of the LAN")
    if prefix is not None:
        return Verdict(False, f"{prefix[0]} is of the LAN by another adapter than this")
    return Verdict(False, "it would leave by another adapter, and not to the LAN")


def _by_own(door: Door, source: IPAddress) -> Verdict:
    owner = dict(door.addresses).get(source)
    if owner in door.adapters or int(source) == 0 or _of_link(source):
        return Verdict(True, "it is the route's adapter, and so is the source address")
    if owner is None:
        return Verdict(False, f"{source} is none of this machine's addresses that the guard knows")
    return Verdict(False, f"{source} is the address of another adapter", owner)


def lan_prefix(door: Door, destination: IPAddress) -> tuple[IPNetwork, frozenset[int]] | None:
    """The longest LAN prefix that covers a destination, and its adapters (0: any); None where none does."""
    covering = [p for p, _ in door.lan if p.version == destination.version and destination in p]
    longest = max(covering, key=lambda p: p.prefixlen, default=None)
    if longest is None:
        return None
    return longest, frozenset(i for p, i in door.lan if p == longest)


def _of_link(address: IPAddress) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in n for n in _OF_LINK if n.version == 4)
    return any(address in n for n in _OF_LINK if n.version == 6)
