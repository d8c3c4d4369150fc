"""Adapters and their addresses, from rtnetlink(7)."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_interface
from typing import Any

from procroute.kernel.rtnetlink import IPRoute
from procroute.model import Adapter, Address

# linux/if.h
_UP, _LOOPBACK, _POINT_TO_POINT, _NO_ARP, _LOWER_UP = 0x1, 0x8, 0x10, 0x80, 0x1_0000
# linux/if_addr.h
_TENTATIVE, _OPTIMISTIC, _FAILED = 0x40, 0x04, 0x08
_GLOBAL, _SITE = 0, 200
_NO_CARRIER = {"DOWN", "LOWERLAYERDOWN", "NOTPRESENT", "DORMANT"}


def read(ipr: IPRoute) -> tuple[Adapter, ...]:
    """Every adapter of this network namespace, loopback included."""
    addresses: dict[int, list[Address]] = defaultdict(list)
    for message in ipr.get_addr():
        addresses[message["index"]].append(_address(message))
    return tuple(_adapter(m, tuple(addresses[m["index"]])) for m in ipr.get_links())


def _adapter(message: Any, addresses: tuple[Address, ...]) -> Adapter:
    flags = message["flags"]
    properties = message.get_attr("IFLA_PROP_LIST")
    state = message.get_attr("IFLA_OPERSTATE")
    return Adapter(
        name=message.get_attr("IFLA_IFNAME"),
        ifindex=message["index"],
        up=bool(flags & _UP),
        carrier=bool(flags & _LOWER_UP) and state not in _NO_CARRIER,
        tunnel=bool(flags & (_POINT_TO_POINT | _NO_ARP)),
        loopback=bool(flags & _LOOPBACK),
        addresses=addresses,
        altnames=tuple(properties.get_attrs("IFLA_ALT_IFNAME")) if properties else (),
    )


def _address(message: Any) -> Address:
    local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    pending = flags & _TENTATIVE and not flags & _OPTIMISTIC
    usable = message["scope"] in (_GLOBAL, _SITE) and not pending and not flags & _FAILED
    return Address(ip_interface(f"{local}/{message['prefixlen']}"), usable)
