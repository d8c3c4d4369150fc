"""The lab's addresses and links, as data, and the `ip -batch` lines that make them.

Public addresses come from the documentation ranges (RFC 5737, RFC 3849): global in scope, so that nothing is
taken for a LAN by accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Main = Literal["both", "wan1", "wan2", "none"]
Families = Literal["46", "4", "6"]

SERVER4: Final = "192.0.2.80"
SERVER6: Final = "2001:db8:ffff::80"
OTHER_SERVER4: Final = "192.0.2.81"
OTHER_SERVER6: Final = "2001:db8:ffff::81"
PUBLIC_DNS4: Final = "192.0.2.53"
PUBLIC_DNS6: Final = "2001:db8:ffff::53"
LINK_LOCAL_GATEWAY: Final = "fe80::1"
FAR_END: Final = "up0"
"""The name of a wire's adapter in its node."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A link from the machine to a node that plays router, LAN host or VPN server.

    adapter: its name in the machine; node: what the far end calls itself in its answers; number: the N of its
    special DNS answers. Addresses are those of the machine and of the node; prefix lengths beside them.
    """

    adapter: str
    node: str
    number: int
    address4: str
    address6: str
    gateway4: str
    gateway6: str
    dns4: str
    dns6: str
    length4: int = 24
    length6: int = 64
    families: Families = "46"
    point_to_point: bool = False

    @property
    def machine4(self) -> str:
        """The machine's IPv4 address as ip(8) takes it: with its length or its peer."""
        return (
            f"{self.address4} peer {self.gateway4}"
            if self.point_to_point
            else f"{self.address4}/{self.length4}"
        )

    @property
    def machine6(self) -> str:
        """The machine's IPv6 address as ip(8) takes it: with its length or its peer."""
        return (
            f"{self.address6} peer {self.gateway6}"
            if self.point_to_point
            else f"{self.address6}/{self.length6}"
        )

    @property
    def has4(self) -> bool:
        """Whether IPv4 is set up on it."""
        return "4" in self.families

    @property
    def has6(self) -> bool:
        """Whether IPv6 is set up on it."""
        return "6" in self.families


WAN1: Final = Wire(
    "wan1",
    "wan1",
    1,
    "198.51.100.2",
    "2001:db8:1::2",
    "198.51.100.1",
    "2001:db8:1::1",
    "198.51.100.53",
    "2001:db8:1::53",
)
WAN2: Final = Wire(
    "wan2",
    "wan2",
    2,
    "203.0.113.2",
    "2001:db8:2::2",
    "203.0.113.1",
    "2001:db8:2::1",
    "203.0.113.53",
    "2001:db8:2::53",
)
LAN: Final = Wire(
    "lan0", "lan", 3, "192.168.50.2", "fd50::2", "192.168.50.1", "fd50::1", "192.168.50.53", "fd50::53"
)

VPN: Final = Wire("vpn0", "vpn", 4, "10.8.0.2", "fd08::2", "10.8.0.1", "fd08::1", "10.8.0.53", "fd08::53")
"""Not there at first: Lab.add(VPN)."""
TUN: Final = Wire(
    "tun0",
    "tun",
    5,
    "10.9.0.2",
    "fd09::2",
    "10.9.0.1",
    "fd09::1",
    "10.9.0.53",
    "fd09::53",
    point_to_point=True,
)
"""A point-to-point adapter: Lab.add(TUN, tunnel=True)."""


def link(wire: Wire, pid: int) -> str:
    """The line that makes `wire` as a veth pair, run in the machine. pid: the node's."""
    own, far = (f"02:00:00:00:{wire.number:02x}:{end:02x}" for end in (2, 1))
    peer = f"peer name {FAR_END} address {far} netns /proc/{pid}/ns/net"
    return f"link add {wire.adapter} address {own} type veth {peer}\n"


def machine_side(wire: Wire) -> str:
    """Lines that give the machine its end of `wire`: up, with its addresses. They may be run again."""
    lines = [f"link set {wire.adapter} up"]
    if wire.has4:
        lines.append(f"address replace {wire.machine4} dev {wire.adapter}")
    if wire.has6:
        lines.append(f"address replace {wire.machine6} dev {wire.adapter} nodad")
    return "\n".join([*lines, ""])


def node_addresses(wire: Wire) -> str:
    """Lines that bring the node's end up, with its addresses. They may be run again."""
    lines = [f"link set {FAR_END} up"]
    if wire.has4:
        own = (
            f"{wire.gateway4} peer {wire.address4}"
            if wire.point_to_point
            else f"{wire.gateway4}/{wire.length4}"
        )
        lines += [f"address replace {address} dev {FAR_END}" for address in (own, f"{wire.dns4}/32")]
    if wire.has6:
        own = (
            f"{wire.gateway6} peer {wire.address6}"
            if wire.point_to_point
            else f"{wire.gateway6}/{wire.length6}"
        )
        addresses = (own, f"{wire.dns6}/128", f"{LINK_LOCAL_GATEWAY}/64")
        lines += [f"address replace {address} dev {FAR_END} nodad" for address in addresses]
    return "\n".join([*lines, ""])


def node_internet(wire: Wire) -> str:
    """Lines, run once, that make the node take every address but those of its subnet for its own.

    Local routes in table main let servers answer from any address; those in table local answer ping too.
    """
    lines = ["link set lo up"]
    if wire.has4:
        lines += [
            "route add local 192.0.2.0/24 dev lo table local",
            "route add local default dev lo table main",
        ]
    if wire.has6:
        lines += [
            "route add local 2001:db8:ffff::/64 dev lo table local",
            "route add local ::/0 dev lo table main",
        ]
    return "\n".join([*lines, ""])


def default_routes(wire: Wire, main: Main, gateway6: str) -> str:
    """Lines for the machine's default routes by `wire` in table main, as a DHCP client sets them, or nothing.

    gateway6: "global" or "link-local" (what router advertisements give).
    """
    preferred = "wan1" if main == "wan1" else "wan2"
    if main not in ("both", wire.adapter) or wire.adapter not in ("wan1", "wan2"):
        return ""
    metric = 100 if wire.adapter == preferred else 200
    via6 = LINK_LOCAL_GATEWAY if gateway6 == "link-local" else wire.gateway6
    lines = []
    if wire.has4:
        lines.append(f"route replace default via {wire.gateway4} dev {wire.adapter} metric {metric}")
    if wire.has6:
        lines.append(f"route replace ::/0 via {via6} dev {wire.adapter} metric {metric}")
    return "\n".join([*lines, ""])


def resolvers(main: Main, wires: list[Wire]) -> list[str]:
    """The machine's name servers: each uplink's own, the preferred uplink's first."""
    first = "wan1" if main == "wan1" else "wan2"
    ordered = sorted(wires, key=lambda wire: wire.adapter != first)
    found = []
    for wire in ordered:
        found += [wire.dns4] if wire.has4 else []
        found += [wire.dns6] if wire.has6 else []
    return found[:3]  # glibc reads no more than three
