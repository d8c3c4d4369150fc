"""Adapters and their addresses, from rtnetlink(7)."""

from __future__ import annotations

import socket
import sys
from collections import defaultdict
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_interface

from msgspec.structs import replace

from procroute.kernel.entry_messages import attribute, attributes
from procroute.kernel.netlink import HEADER
from procroute.kernel.pyroute2_messages import Message, ifaddrmsg, nla, nlmsg, unpacked
from procroute.kernel.rtnetlink import Rtnetlink
from procroute.model import Adapter, Address

# linux/if.h
_UP, _BROADCAST, _LOOPBACK, _POINT_TO_POINT, _NO_ARP, _LOWER_UP = 0x1, 0x2, 0x8, 0x10, 0x80, 0x1_0000
# linux/if_addr.h
_TENTATIVE, _OPTIMISTIC, _FAILED, _DEPRECATED = 0x40, 0x04, 0x08, 0x20
_GLOBAL, _SITE = 0, 200
# linux/if.h, IF_OPER_*: not present, down, lower layer down, dormant
_NO_CARRIER = {1, 2, 3, 5}
# linux/if_arp.h, ARPHRD_*
_HARDWARE = {1: "ethernet", 32: "infiniband", 512: "ppp", 519: "rawip", 772: "loopback", 65534: "none"}
# linux/rtnetlink.h
_GET_LINK, _GET_ADDRESS = 18, 22
_SKIP_STATISTICS = 1 << 3
# Sizes of struct ifinfomsg and ifaddrmsg, and what we read behind them: IFLA_*, IFA_*.
_LINK_HEADER, _LINK = 16, frozenset({3, 10, 16, 18, 52})
_ADDRESS_HEADER, _ADDRESS = 8, frozenset({1, 2, 8})
_EXT_MASK = 29
_EVERY_LINK = bytes(_LINK_HEADER) + attribute(_EXT_MASK, _SKIP_STATISTICS.to_bytes(4, sys.byteorder))


class _Link(nlmsg):  # type: ignore[misc]
    """What we read of a link (struct ifinfomsg). pyroute2's class has all 70 attributes: 10 ms to import."""

    fields = (
        ("family", "B"),
        ("__align", "x"),
        ("ifi_type", "H"),
        ("index", "i"),
        ("flags", "I"),
        ("change", "I"),
    )
    nla_map = (
        (3, "IFLA_IFNAME", "asciiz"),
        (10, "IFLA_MASTER", "uint32"),
        (16, "IFLA_OPERSTATE", "uint8"),
        (18, "IFLA_LINKINFO", "info"),
        (52, "IFLA_PROP_LIST", "names"),
    )

    class info(nla):  # type: ignore[misc]  # noqa: N801 - found by this name
        """What made the link."""

        nla_map = ((1, "IFLA_INFO_KIND", "asciiz"), (4, "IFLA_INFO_SLAVE_KIND", "asciiz"))

    class names(nla):  # type: ignore[misc]  # noqa: N801 - found by this name
        """Other names of the link."""

        nla_map = ((53, "IFLA_ALT_IFNAME", "asciiz"),)


def read(netlink: Rtnetlink) -> tuple[Adapter, ...]:
    """Every adapter of this network namespace, loopback included. Raises OSError."""
    addresses: dict[int, list[Address]] = defaultdict(list)
    for data in netlink.dump(_GET_ADDRESS, bytes(_ADDRESS_HEADER)):
        ifindex, address = _address(_steady(data, _ADDRESS_HEADER, _ADDRESS))
        addresses[ifindex].append(address)
    links = [_adapter(_steady(data, _LINK_HEADER, _LINK)) for data in netlink.dump(_GET_LINK, _EVERY_LINK)]
    return tuple(replace(link, addresses=tuple(addresses[link.ifindex])) for link in links)


def is_there(ifindex: int) -> bool:
    """Whether an adapter of that number is in this network namespace; 0 is none."""
    return bool(name_of(ifindex))


def name_of(ifindex: int) -> str:
    """The name of an adapter; empty: there is none of that number."""
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return ""


def index_of(name: str) -> int:
    """The ifindex of an adapter by its name or an alternative one (netdevice(7), SIOCGIFINDEX); 0: none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _steady(message: bytes, header: int, wanted: Collection[int]) -> bytes:
    """The body of a message with the attributes that we read alone.

    Without counters and lifetimes it is the same at each look while nothing has changed, and known already.
    """
    start = HEADER.size + header
    kept = (attribute(kind, value) for kind, value in attributes(message, start) if kind in wanted)
    return message[HEADER.size : start] + b"".join(kept)


@lru_cache(256)
def _adapter(body: bytes) -> Adapter:
    message = unpacked(_Link, body)
    flags = message["flags"]
    properties = message.get_attr("IFLA_PROP_LIST")
    state = message.get_attr("IFLA_OPERSTATE")
    info = message.get_attr("IFLA_LINKINFO")
    return Adapter(
        name=message.get_attr("IFLA_IFNAME"),
        ifindex=message["index"],
        up=bool(flags & _UP),
        carrier=bool(flags & _LOWER_UP) and state not in _NO_CARRIER,
        # What has no neighbours and yet a broadcast address is a dummy, or an Ethernet whose peers are fixed.
        tunnel=bool(flags & _POINT_TO_POINT or (flags & _NO_ARP and not flags & _BROADCAST)),
        loopback=bool(flags & _LOOPBACK),
        altnames=tuple(properties.get_attrs("IFLA_ALT_IFNAME")) if properties else (),
        kind=_kind(message, info),
        master=message.get_attr("IFLA_MASTER") or 0,
        member_of=(info and info.get_attr("IFLA_INFO_SLAVE_KIND")) or "",
    )


def _kind(message: Message, info: Message | None) -> str:
    made_by = info.get_attr("IFLA_INFO_KIND") if info else None
    return made_by or _HARDWARE.get(message["ifi_type"], "")


@lru_cache(1024)
def _address(body: bytes) -> tuple[int, Address]:
    """The ifindex of the adapter that has it, and an address."""
    message = unpacked(ifaddrmsg, body)
    local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    pending = flags & _TENTATIVE and not flags & _OPTIMISTIC
    usable = message["scope"] in (_GLOBAL, _SITE) and not pending and not flags & _FAILED
    interface = ip_interface(f"{local}/{message['prefixlen']}")
    deprecated = interface.version == 6 and bool(flags & _DEPRECATED)  # IPv4 does not care
    return message["index"], Address(interface, usable, deprecated)
