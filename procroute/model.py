"""Frozen types that every layer speaks."""

from __future__ import annotations

import hashlib
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Final, Literal

from msgspec import Struct, structs

Existing = Literal["keep", "reset"]
"""What becomes of connections that are open when a process, or a route, takes another way: they go on, or are
ended."""
WhenDown = Literal["deny", "allow"]
"""What a program that is held at its start meets when the daemon does not answer: it is not started (EPERM),
or starts by the machine's own way, and that is logged."""
IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network
_EVERYTHING4, _EVERYTHING6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")


def unmapped(address: IPAddress) -> IPAddress:
    """IPv4 where an address is only written as IPv6 (::ffff:a.b.c.d, RFC 4291, 2.5.5.2)."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class Family(Enum):
    """An address family. Both are always meant, unless one is named."""

    IPV4 = 4
    IPV6 = 6

    @property
    def title(self) -> str:
        """As people write it."""
        return f"IPv{self.value}"

    @property
    def everything(self) -> IPNetwork:
        """The destination of a default route."""
        return _EVERYTHING4 if self is Family.IPV4 else _EVERYTHING6

    @staticmethod
    def of(thing: IPAddress | IPInterface | IPNetwork) -> Family:
        """The family that an address or network belongs to."""
        return Family.IPV4 if thing.version == 4 else Family.IPV6


class Address(Struct, frozen=True, cache_hash=True):
    """An address of an adapter. usable: the kernel would choose it as a source for the world.

    Not so link-local ones, and those still under or failed by duplicate address detection (RFC 4862, 5.4).
    deprecated: it would rather choose one of another adapter (RFC 6724, 5, rule 3; IPv6 has it).
    """

    interface: IPInterface
    usable: bool = True
    deprecated: bool = False


class Adapter(Struct, frozen=True, cache_hash=True):
    """A network interface as it is now. tunnel: point-to-point or without neighbours (tun, WireGuard).

    kind: what ip-link(8) calls its type (veth, bridge, wireguard …), else what its hardware is. master: the
    ifindex of the adapter that it is a part of, 0: of none; member_of: that one's type (bridge, bond, vrf …).
    """

    name: str
    ifindex: int
    up: bool = True
    carrier: bool = True
    tunnel: bool = False
    loopback: bool = False
    addresses: tuple[Address, ...] = ()
    altnames: tuple[str, ...] = ()
    kind: str = ""
    master: int = 0
    member_of: str = ""

    @property
    def state(self) -> str:
        """For people: up, no carrier or down."""
        return "down" if not self.up else "up" if self.carrier else "no carrier"

    def has_on_link(self, address: IPAddress) -> bool:
        """Whether an address lies in one of its subnets."""
        return any(address in a.interface.network for a in self.addresses)

    def usable(self, family: Family) -> tuple[IPAddress, ...]:
        """Its addresses of a family that can be a source."""
        return tuple(
            a.interface.ip for a in self.addresses if a.usable and a.interface.version == family.value
        )

    def fallback_source(self, family: Family) -> IPAddress | None:
        """The source that has to be named, since the kernel would rather choose another adapter's."""
        usable = [a for a in self.addresses if a.usable and a.interface.version == family.value]
        return usable[0].interface.ip if usable and all(a.deprecated for a in usable) else None


class OnDown(Enum):
    """What a route does when the adapter that it leaves by is no way out any more.

    BLOCK: nothing, and nothing leaves. NEXT: it leaves by the next one of its list that is; where none is,
    nothing leaves. MAIN: the same, but where none is, the machine's own way is taken.
    """

    BLOCK = "block"
    NEXT = "next"
    MAIN = "main"


HOLD: Final = 10.0
"""Seconds that an adapter has to be a way out without a break before a route goes back to it."""


class Route(Struct, frozen=True, cache_hash=True):
    """A named way out: adapters and options. Equal options make the same route.

    adapter: the first one; others: those that are taken in their order where it is no way out.
    gateway4, gateway6: given ones, that hold against what the machine knows; for one adapter. dns: given name
    servers; None: those that are known for the adapter; empty: look-ups are left to the system. on_down:
    None: as `down` has it. reset: connections by an adapter that the route leaves are ended; else they go on
    there as long as that carries. hold: seconds before it goes back to an earlier adapter. inbound: UDP
    servers that are bound to no address answer by the adapter that they are called by.
    """

    adapter: str
    strict: bool = False
    gateway4: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPAddress, ...] | None = None
    others: tuple[str, ...] = ()
    on_down: OnDown | None = None
    reset: bool = False
    hold: float = HOLD
    inbound: bool = False

    @property
    def adapters(self) -> tuple[str, ...]:
        """All of its adapters, in their order."""
        return (self.adapter, *self.others)

    @property
    def down(self) -> OnDown:
        """What it does when its adapter is no way out."""
        return self.on_down or (OnDown.NEXT if self.others else OnDown.BLOCK)

    @property
    def chooses(self) -> bool:
        """Whether it can leave in more than one way."""
        return bool(self.others) or self.down is OnDown.MAIN

    @property
    def plain(self) -> Route:
        """The same route without options that say what holds anyway, or what never comes: both are one."""
        on_down = None if self.on_down is (OnDown.NEXT if self.others else OnDown.BLOCK) else self.on_down
        if not self.chooses:
            return structs.replace(self, on_down=on_down, reset=False, hold=HOLD)
        return structs.replace(self, on_down=on_down)

    @property
    def name(self) -> str:
        """`wan1`, `wan1~strict`, `wg0,wan1`, or with a short digest when other options were given."""
        name = ",".join(self.adapters) + ("~strict" if self.strict else "")
        if given := self.given:
            name += "~" + hashlib.sha256("\n".join(given).encode()).hexdigest()[:8]
        return name

    @property
    def given(self) -> list[str]:
        """What was given beside adapters and `strict`, each in words: `on_down main`."""
        given = [f"gateway {g}" for g in (self.gateway4, self.gateway6) if g is not None]
        if self.dns is not None:
            given += [f"dns {server}" for server in self.dns or ("system",)]
        given += [f"on_down {self.on_down.value}"] if self.on_down is not None else []
        given += ["existing reset"] if self.reset else []
        given += [f"hold {self.hold:g}"] if self.hold != HOLD else []
        given += ["inbound"] if self.inbound else []
        return given

    def gateway(self, family: Family) -> IPAddress | None:
        """The given gateway of a family."""
        return self.gateway4 if family is Family.IPV4 else self.gateway6


class Marks(Enum):
    """What carries a route's mark. BOTH: nft marks packets that have lost the mark of their socket.

    PACKETS: nft marks them all, where the kernel has no cgroup BPF; it comes later, so less is promised.
    """

    SOCKETS = "sockets"
    BOTH = "both"
    PACKETS = "packets"


class Owner(Struct, frozen=True, cache_hash=True, array_like=True, omit_defaults=True):
    """A user whose sockets follow a route by whose they are. uid: the effective one of who makes them.

    alone: only where the real one is the same, too.
    """

    uid: int
    alone: bool = False


class LiveRoute(Struct, frozen=True, cache_hash=True):
    """A route that is in the kernel, with its number.

    servers: the name servers that look-ups are sent to. no_lookups: none is known, and look-ups are refused;
    without servers, and without this, they are left to the system. known: the gateways that main last had for
    the adapter, or that NetworkManager had at the start. silent: those of its gateways that failed to answer
    and have not since; written down, so that an engine which has not heard it agrees with one that has.
    ifindex: of the adapter that it leaves by, 0: of none yet. While that lives its name may change.
    members: of a route that chooses, the ifindexes of its adapters in their order, as far as they were there
    once; 0: not yet. left: those of them that it has left, by which connections may go on. by_main: it leaves
    the machine's own way, since no adapter of its is one. silent_others: as silent, of the adapters that it
    does not leave by now, with their ifindexes. owners: whose sockets follow it by whose they are. tunnels:
    (ifindex, UDP port) of the kernel's tunnels whose outer packets take it; while one of them is there the
    route is in use.
    """

    route: Route
    number: int
    servers: tuple[IPAddress, ...] = ()
    known: tuple[IPAddress, ...] = ()
    silent: tuple[IPAddress, ...] = ()
    no_lookups: bool = False
    ifindex: int = 0
    marks: Marks = Marks.SOCKETS
    members: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    by_main: bool = False
    silent_others: tuple[tuple[int, IPAddress], ...] = ()
    owners: tuple[Owner, ...] = ()
    tunnels: tuple[tuple[int, int], ...] = ()

    def last_known(self, family: Family, adapter: Adapter) -> IPAddress | None:
        """The gateway that main last had for an adapter of this route's; it still lies in a subnet of it."""
        found = (g for g in self.known if g.version == family.value)
        return next((g for g in found if adapter.has_on_link(g)), None)


class Hop(Struct, frozen=True, cache_hash=True):
    """Where an entry sends a packet next. weight: as in ip-route(8), 1 is the least."""

    ifindex: int
    gateway: IPAddress | None = None
    onlink: bool = False
    weight: int = 1


class Entry(Struct, frozen=True, cache_hash=True):
    """One line of a routing table (rtnetlink(7), RTM_NEWROUTE). kind: unicast, unreachable, throw …

    scope and protocol: numbers of rtnetlink(7). source: the preferred one. metrics: RTAX numbers and values.
    only_from: the sources that a default is for (ip-route(8), `from PREFIX`; IPv6 has it). preference: of a
    router among those with one metric, -1, 0 or 1 (RFC 4191; IPv6 has it).
    """

    table: int
    destination: IPNetwork
    hops: tuple[Hop, ...] = ()
    kind: str = "unicast"
    scope: int = 0
    source: IPAddress | None = None
    metric: int = 0
    metrics: tuple[tuple[str, int], ...] = ()
    protocol: int = 0
    only_from: IPNetwork | None = None
    preference: int = 0

    @property
    def family(self) -> Family:
        """The family of its destination."""
        return Family.of(self.destination)


class Rule(Struct, frozen=True, cache_hash=True):
    """One ip rule (ip-rule(8)). action: table, goto, unreachable; target: the table or the preference.

    selective: it matches on something that this type does not carry (ports, user, adapter …). suppress:
    entries of the table whose prefix is no longer than this do not count, -1: all do. udp_port: the packets
    that it matches are UDP from this port, 0: all are.
    """

    family: Family
    preference: int
    action: str
    target: int = 0
    mark: int = 0
    mask: int = 0
    inverted: bool = False
    source: IPNetwork | None = None
    destination: IPNetwork | None = None
    selective: bool = False
    protocol: int = 0
    suppress: int = -1
    udp_port: int = 0


class Allowed(Struct, frozen=True):
    """What one user may do. adapters: those that he may use, None: all. gateway, dns: he may give some.

    gateway_in_rules: he may give one that holds for every start, too.
    """

    adapters: tuple[str, ...] | None = None
    gateway: bool = True
    dns: bool = True
    gateway_in_rules: bool = False
