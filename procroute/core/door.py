"""What the BPF programs of a route are told: what is fixed when they are attached, and what may change.

    marking = Marking(mark=0x0200_0000, mask=0xFF00_0000, bound=0x0100_0000, strict=False)
    door = Door(frozenset({3}), frozenset({(IPv4Network("192.168.1.0/24"), 3)}))

Both are read back from the kernel and compared for equality, so a Door brings itself into one form.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr

from procroute.errors import ProcrouteError
from procroute.model import IPAddress, IPNetwork
from procroute.route_words import ADAPTERS

SERVERS: Final = 3
RESOLVERS: Final = 64
LAN_ADAPTERS: Final = 4


class Marking(Struct, frozen=True):
    """mark: the route's number in its place; mask: all bits of ours; bound: the one among them that says
    "tied to an address on purpose". strict: nothing but the route's adapters and loopback. namespace: the
    cookie of the network namespace whose sockets follow the route; 0: it is not known, and all do."""

    mark: int
    mask: int
    bound: int
    strict: bool
    namespace: int = 0


class Door(Struct, frozen=True):
    """adapters: ifindexes of the route, at most 4. present: the one that it leaves by now: its addresses are
    looked for first. lan: prefixes that may be reached by another adapter, each
    with the ifindex of that adapter or 0 for any; the longest prefix decides, so a host with another ifindex
    is an exception. dns_servers: at most 3 a family, none link-local. no_lookups: there is no server, and
    look-ups are refused; without servers, and without this, they are left alone, and resolvers is emptied.
    resolvers: the system's, at most 64. addresses: the machine's, each with the ifindex of the adapter it
    belongs to (the lowest, where several are given): by one of the route's adapters nothing leaves but from
    its own, and replies. inbound: UDP servers that are bound to no address answer by the adapter that they
    are called by.

    Raises ProcrouteError (door-*) when a limit is passed.
    """

    adapters: frozenset[int]
    lan: frozenset[tuple[IPNetwork, int]] = frozenset()
    dns_servers: tuple[IPAddress, ...] = ()
    resolvers: tuple[IPAddress, ...] = ()
    addresses: frozenset[tuple[IPAddress, int]] = frozenset()
    no_lookups: bool = False
    present: int = 0
    inbound: bool = False

    def __post_init__(self) -> None:
        if self.present not in self.adapters:
            force_setattr(self, "present", min(self.adapters, default=0))
        servers = sorted(_distinct(self.dns_servers), key=lambda server: server.version)
        force_setattr(self, "dns_servers", tuple(servers))
        force_setattr(self, "resolvers", _distinct(self.resolvers) if self.follows_lookups else ())
        highest_first = sorted(self.addresses, key=lambda address: -address[1])
        owners = {_plain(address): ifindex for address, ifindex in highest_first}
        force_setattr(self, "addresses", frozenset(owners.items()))
        if len(self.adapters) > ADAPTERS:
            raise ProcrouteError("door-adapters", f"a route has at most {ADAPTERS} adapters")
        for version in (4, 6):
            if sum(server.version == version for server in servers) > SERVERS:
                raise ProcrouteError(
                    "door-dns-servers", f"a route has at most {SERVERS} IPv{version} name servers"
                )
        for server in servers:
            if server.is_link_local:
                raise ProcrouteError(
                    "door-dns-servers",
                    f"the name server {server} is link-local: look-ups cannot be rewritten to it",
                    hint="name another one with --dns",
                )
        if len(self.resolvers) > RESOLVERS:
            raise ProcrouteError("door-resolvers", f"the system has more than {RESOLVERS} resolvers")

    @property
    def follows_lookups(self) -> bool:
        """Whether the look-up programs have anything to do."""
        return bool(self.dns_servers) or self.no_lookups


def _distinct(addresses: tuple[IPAddress, ...]) -> tuple[IPAddress, ...]:
    return tuple(dict.fromkeys(_plain(address) for address in addresses))


def _plain(address: IPAddress) -> IPAddress:
    """Without a scope, which the kernel keeps elsewhere, and IPv4 where it is only written as IPv6."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))
