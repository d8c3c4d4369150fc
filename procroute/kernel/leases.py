"""The gateways that a DHCP client keeps for an adapter, whether or not it has put them into table main.

systemd-networkd writes /run/systemd/netif/leases/IFINDEX (src/libsystemd-network/sd-dhcp-lease.c,
dhcp_lease_save), also with UseGateway=no, UseRoutes=no or RouteTable= of systemd.network(5):

    ADDRESS=198.51.100.2
    ROUTER=198.51.100.1
    DNS=198.51.100.53
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from procroute.core.machine import Learnt

FOLDER: Final = Path("/run/systemd/netif/leases")
KEEPER: Final = "networkd lease"


def gateways(ifindexes: Iterable[int]) -> Mapping[int, tuple[Learnt, ...]]:
    """The routers of each adapter's lease, the preferred first; nothing for one without a lease."""
    if not FOLDER.is_dir():
        return {}
    found = {ifindex: _of(FOLDER / str(ifindex)) for ifindex in ifindexes}
    return {ifindex: learnt for ifindex, learnt in found.items() if learnt}


def _of(file: Path) -> tuple[Learnt, ...]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    leased = next(iter(_addresses(said.get("ADDRESS", ""))), None)
    return tuple(Learnt(router, KEEPER, leased) for router in _addresses(said.get("ROUTER", "")))


def _addresses(words: str) -> list[IPv4Address]:
    found = []
    for word in words.split():
        with contextlib.suppress(ValueError):
            address = IPv4Address(word)
            if not (address.is_unspecified or address.is_loopback or address.is_multicast):
                found.append(address)
    return found
