"""A laboratory: one machine with two uplinks, in private namespaces, for `procroute demo` and the tests.

    with Lab(main="both") as lab:
        done = lab.run(["procroute", "run", "--via", "wan1", "--", "curl", "http://192.0.2.80:7000"])
        lab.settle()
        assert lab.wan1.packets(protocol=TCP) and not lab.wan2.packets()

    lanhost ── lan0 ┐
    router1 ── wan1 ┼ machine          each router is "the internet" behind its uplink: it answers on every
    router2 ── wan2 ┘                  address and says which router it is

Nothing of the host is changed: no named namespace, no file, no route; several labs run side by side. A lab
ends with the process that made it, however that one ends. Needs root, iproute2, nftables and util-linux.
"""

from __future__ import annotations

from procroute.lab.lab import Lab
from procroute.lab.packet import ICMP, ICMP6, TCP, UDP, Packet
from procroute.lab.records import Answer, Query
from procroute.lab.topology import LAN, TUN, VPN, WAN1, WAN2, Wire
from procroute.lab.uplink import Uplink

__all__ = [
    "ICMP",
    "ICMP6",
    "LAN",
    "TCP",
    "TUN",
    "UDP",
    "VPN",
    "WAN1",
    "WAN2",
    "Answer",
    "Lab",
    "Packet",
    "Query",
    "Uplink",
    "Wire",
]
