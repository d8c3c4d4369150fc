"""What becomes of a socket that was open before its process was put on a route, or let go.

A process changes its cgroup, its sockets do not: each keeps the mark that it was made with, and the way that
goes with it. One that holds no conversation can be marked anew, and its next packet goes by the new way; one
that does would go on from a source address that is not that way's.

What tells a UDP server from a client. The kernel does not say whether a program named its port or the kernel
chose it (SOCK_BINDPORT_LOCK is in no list). A port is taken for one of its own choice where

- it lies outside ip_local_port_range, or in ip_local_reserved_ports: the kernel never chooses such a one;
- the socket is to share it (SO_REUSEADDR, SO_REUSEPORT): that is of no use without a port that others know;
- the same processes have another socket on that number (TCP beside UDP, IPv6 beside IPv4): it would be one
  chance in 28,000.

A server with one socket on a port of that range (mosh, 60001) cannot be told from a client, and follows:
clients that came in by another adapter no longer hear it. A client that shares its port stays, and is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from enum import Enum
from typing import Final, Literal

from msgspec import Struct

from procroute.identity import Identity
from procroute.model import Existing, IPAddress
from procroute.protocol import Moved

Kind = Literal["tcp", "udp", "other"]

SERVERS: Final = "UDP servers on a port of their own choice"
LISTENING: Final = "TCP servers: their clients are answered as before"
SHARED: Final = "shared with a process that stays"
ADAPTER: Final = "tied to an adapter"
ADDRESS: Final = "bound to an address of another adapter"
OTHER: Final = "raw, ping and other sockets"
FOREIGN: Final = "of another network namespace"
CANNOT: Final = "this kernel cannot end them"
OF_ONE: Final = {
    SERVERS: "UDP server on a port of its own choice",
    LISTENING: "TCP server: its clients are answered as before",
    OTHER: "raw, ping or other socket",
    CANNOT: "this kernel cannot end it",
}
"""The same said of a single one."""


class OpenSocket(Struct, frozen=True):
    """An open socket. remote: None where it is not connected. shared: a process that stays holds it, too.

    local: all zeros where it is bound to no address. reuse: it may share its port. foreign: it is of another
    network namespace than the route. made_here: in the cgroup that is the assignment now, with its guard.
    given: the mark that nft gives its packets, if they have none of ours: by the cgroup that it was made in.
    """

    kind: Kind
    local: IPAddress
    local_port: int = 0
    remote: IPAddress | None = None
    listening: bool = False
    ifindex: int = 0
    mark: int = 0
    reuse: bool = False
    shared: bool = False
    foreign: bool = False
    made_here: bool = False
    given: int = 0


class Ports(Struct, frozen=True):
    """Which ports the kernel chooses by itself (ip-sysctl): from first to last, but for reserved ones."""

    first: int = 32768
    last: int = 60999
    reserved: frozenset[int] = frozenset()

    def chooses(self, port: int) -> bool:
        """Whether the kernel may choose a port."""
        return self.first <= port <= self.last and port not in self.reserved


class Ground(Struct, frozen=True):
    """What decisions are made on. number: the route's. own: its adapter's addresses; here: the machine's.

    twins: ports on which the same processes have several sockets. servers: UDP servers follow, too.
    """

    identity: Identity
    number: int
    existing: Existing = "keep"
    servers: bool = False
    own: Collection[IPAddress] = frozenset()
    here: Collection[IPAddress] = frozenset()
    ports: Ports = Ports()
    twins: Collection[int] = frozenset()


class Fate(Enum):
    """FOLLOW: marked anew. RESET: ended. REMAIN: as it is until it ends. LEFT: as it is, for a reason.

    PASS: nothing is done and it counts for nothing. CLEAR: it loses the mark, and counts for nothing.
    """

    FOLLOW = "follow"
    RESET = "reset"
    REMAIN = "remain"
    LEFT = "left"
    PASS = "pass"
    CLEAR = "clear"

    @property
    def acts(self) -> bool:
        """Whether the socket is touched."""
        return self in (Fate.FOLLOW, Fate.RESET, Fate.CLEAR)


class Verdict(Struct, frozen=True):
    """What becomes of a socket. reason: why it is left."""

    fate: Fate
    reason: str = ""


_PASS: Final = Verdict(Fate.PASS)
_FOLLOW: Final = Verdict(Fate.FOLLOW)


def assigned(one: OpenSocket, ground: Ground) -> Verdict:
    """What becomes of a socket when its process is put on a route."""
    if one.foreign:
        return Verdict(Fate.LEFT, FOREIGN)
    if _number(one, ground.identity) == ground.number or _stays_here(one, ground):
        return _PASS
    return _unless_shared(one, _assigned(one, ground))


def _assigned(one: OpenSocket, ground: Ground) -> Verdict:
    if one.kind == "other":
        return Verdict(Fate.LEFT, OTHER)
    if one.remote is not None:
        return _existing(ground)
    if one.listening:
        return Verdict(Fate.LEFT, LISTENING)
    if one.ifindex:
        return Verdict(Fate.LEFT, ADAPTER)
    if not one.local.is_unspecified and one.local not in ground.own:
        return Verdict(Fate.LEFT, ADDRESS)
    if one.kind == "udp" and not ground.servers and is_server(one, ground):
        return Verdict(Fate.LEFT, SERVERS)
    return _FOLLOW


def released(one: OpenSocket, ground: Ground) -> Verdict:
    """What becomes of a socket when its process is let go from a route."""
    if one.foreign or _number(one, ground.identity) != ground.number:
        return _PASS
    if _stays_here(one, ground):
        return Verdict(Fate.PASS if one.shared else Fate.CLEAR)
    return _unless_shared(one, _FOLLOW if one.remote is None else _existing(ground))


def _number(one: OpenSocket, identity: Identity) -> int:
    """Of the route that it is on; 0: none."""
    return identity.number(identity.mark_of_packets(one.mark, one.given))


def _existing(ground: Ground) -> Verdict:
    return Verdict(Fate.RESET if ground.existing == "reset" else Fate.REMAIN)


def _unless_shared(one: OpenSocket, verdict: Verdict) -> Verdict:
    return Verdict(Fate.LEFT, SHARED) if one.shared and verdict.fate.acts else verdict


def _stays_here(one: OpenSocket, ground: Ground) -> bool:
    """Whether what it sends does not leave the machine, by whatever route."""
    if one.remote is not None:
        return one.remote.is_loopback or one.remote in ground.here
    return one.local.is_loopback


def is_server(one: OpenSocket, ground: Ground) -> bool:
    """Whether a UDP socket is on a port that its program chose; see above."""
    if not one.local_port:
        return False
    return one.reuse or not ground.ports.chooses(one.local_port) or one.local_port in ground.twins


def twins(all_open: Iterable[OpenSocket]) -> frozenset[int]:
    """The ports on which there are several sockets, connections apart."""
    ports = Counter(one.local_port for one in all_open if one.remote is None and one.local_port)
    return frozenset(port for port, count in ports.items() if count > 1)


def new_mark(one: OpenSocket, verdict: Verdict, ground: Ground, *, leaving: bool, plain: bool) -> int | None:
    """The bits of ours that a socket is to carry from now on; None: those it has.

    leaving: it is let go. plain: it is known to have been made in no cgroup of a route, so that no guard
    holds it. One that is ended is marked as well: its program may connect it once more. One that stays on a
    route of which nft marks the packets gets that mark itself: by its cgroup it would be nobody's soon.
    """
    identity = ground.identity
    ours = one.mark & identity.mark_mask
    if leaving and plain and ours == identity.released and not one.foreign:
        return 0  # it was spared when its unit was put on a route in place
    if one.given and not ours and verdict.fate in (Fate.REMAIN, Fate.LEFT) and not one.foreign:
        return one.given
    if not verdict.fate.acts:
        spared = not leaving and one.made_here and not one.foreign and not ours
        return identity.released if spared else None
    if leaving:
        return 0 if plain else identity.released
    tied = verdict.fate is Fate.FOLLOW and not one.local.is_unspecified
    return identity.mark(ground.number) | (identity.bound if tied else 0)


def moved(verdicts: Iterable[Verdict]) -> Moved:
    """What is told of all of them."""
    found = list(verdicts)
    count = Counter(v.fate for v in found)
    left = Counter(v.reason for v in found if v.fate is Fate.LEFT)
    return Moved(count[Fate.FOLLOW], count[Fate.REMAIN], count[Fate.RESET], dict(sorted(left.items())))
