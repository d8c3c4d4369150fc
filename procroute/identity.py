"""Every number and name that is ours, and why it is this one.

The first four can be changed in the `[identity]` table of /etc/procroute/config.toml.

mark mask    0xff000000. Others: Tailscale 0x00ff0000, mwan3 0x3f00, pbr 0x00ff0000, wg-quick 0xca6c and
             NetBird 0x1bd00 (whole marks, none of our bits), Kubernetes 0xc000. Calico takes 0xffff0000,
             Mullvad the whole mark 0x6d6f6c65: on such a machine choose another. The lowest bit of the mask
             is the bound bit, the rest is the route's number, 1 to 127.
preferences  4400-4699: before Tailscale (5210-5270), pbr (30000), wg-quick (32764 and up) and `main`
             (32766); after `local` (0) and l3mdev (1000).
tables       7301-7427 are routes, 7300 is the LAN, 700000 + ifindex an adapter's, for ifindexes below 2**24.
             Others: main and its like 253-255; Calico 1-250, mwan3 1-250, Tailscale 52, pbr 256 and up,
             Cilium 200, 202, 2004, 2005 and 11 and up, OVN-Kubernetes 1000 + ifindex, sing-box 2022, NetBird
             7120, FRR 10000 and up, wg-quick 51820 and up, Mullvad 1836018789. ZeroTier and OpenVPN write to
             main; networkd's VRFs have the numbers that their owners chose.
protocol     112 tags our ip rules and table entries; unassigned in iproute2's rt_protos.
zones        7301-7427 of conntrack are routes without BPF, as their tables are by default.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from procroute import places
from procroute.errors import ProcrouteError

NFT_TABLE: Final = "procroute"
SLICE: Final = "procroute.slice"
RUN_DIRECTORY: Final = places.RUN_DIRECTORY
CONFIG_FILE: Final = places.CONFIG_FILE
TABLE_NAMES_FILE: Final = "/etc/iproute2/rt_tables.d/procroute.conf"
XATTR: Final = "trusted.procroute"
NO_BPF: Final = "PROCROUTE_NO_BPF"
"""A variable of the environment: 1 for doing as on a kernel without cgroup BPF."""
ZONES: Final = 7300
"""Plus a route's number: its zone of conntrack."""

# Offsets from the first preference; see core/rules.py for what stands where.
PREFERENCES: Final = 300
# Tables of adapters: far more than any machine makes, and far below the tables of others that are numbered
# by a word or an address.
ADAPTER_TABLES: Final = 1 << 24


class Identity(Struct, frozen=True, cache_hash=True):
    """The numbers by which the kernel's objects are ours."""

    mark_mask: int = 0xFF00_0000
    preference: int = 4400
    table: int = 7300
    adapter_table: int = 700_000
    protocol: int = 112

    @property
    def bound(self) -> int:
        """The bit that says: this socket is tied to an address on purpose."""
        return self.mark_mask & -self.mark_mask

    @property
    def released(self) -> int:
        """The mark of a socket that was made on a route and follows none any more: the bound bit alone.

        Its guard lets it go by that, and our ip rules take it for a bystander's.
        """
        return self.bound

    @property
    def number_mask(self) -> int:
        """The bits that carry a route's number."""
        return self.mark_mask & ~self.bound

    @property
    def number_bits(self) -> int:
        """How many bits a route's number has."""
        return self.number_mask.bit_count()

    @property
    def numbers(self) -> range:
        """The numbers a route can have; 0 means not routed."""
        return range(1, 1 << self.number_bits)

    @property
    def last_preference(self) -> int:
        """Where bystanders leave our rules, and what is ours and found no table is unreachable."""
        return self.preference + PREFERENCES - 1

    def mark(self, number: int) -> int:
        """The fwmark of route `number`, without the bound bit."""
        return number * (self.bound << 1)

    def number(self, mark: int) -> int:
        """The route's number in a fwmark; 0 when it carries none of ours."""
        return (mark & self.number_mask) // (self.bound << 1)

    def mark_of_packets(self, mark: int, given: int) -> int:
        """The mark of what a socket sends: its own; where that has no bit of ours, with what nft gives it."""
        return mark if mark & self.mark_mask else mark | given

    def route_table(self, number: int) -> int:
        """The table of route `number`."""
        return self.table + number

    def adapter_table_of(self, ifindex: int) -> int:
        """The table by which sockets bound to an address of this adapter answer.

        Raises ProcrouteError adapter-unfit for an ifindex beyond our tables; the kernel counts from 1.
        """
        if ifindex >= ADAPTER_TABLES:
            raise ProcrouteError(
                "adapter-unfit",
                f"an adapter has the ifindex {ifindex}: {ADAPTER_TABLES - 1} is the highest that has a table",
                "make it anew with a lower one (ip link add … index N), or without its addresses",
            )
        return self.adapter_table + ifindex

    def owns_table(self, table: int) -> bool:
        """Whether a table number lies in one of our ranges."""
        of_a_route = self.table <= table < self.table + (1 << self.number_bits)
        return of_a_route or self.adapter_table <= table < self.adapter_table + ADAPTER_TABLES

    def owns_rule(self, protocol: int, preference: int, goto: int = 0) -> bool:
        """Whether an ip rule is ours: tagged, and in our range or leading to its beginning (0: no goto)."""
        return protocol == self.protocol and (self.owns_preference(preference) or goto == self.preference)

    def owns_preference(self, preference: int) -> bool:
        """Whether an ip rule's preference lies in our range."""
        return self.preference <= preference <= self.last_preference
