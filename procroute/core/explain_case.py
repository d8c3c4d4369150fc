"""What an explanation is made from: a process, what it is attached to, and the kernel's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from procroute.core.door import Door, Marking
from procroute.core.health import AdapterFound
from procroute.core.limits import Limit
from procroute.core.machine import Machine
from procroute.core.overview import Servers
from procroute.core.route_get import Question, Reply
from procroute.identity import Identity
from procroute.model import Entry, IPAddress, LiveRoute, Marks, Rule


class Attachment(Struct, frozen=True):
    """A target that a process is in. door: of its guard, or what nft has of it; None: nothing guards it.

    kinds: the programs of ours that are there (mark, bound, guard …); marking: what they are told. attended:
    an engine or the daemon cares for it. owner: it is in none, its user's sockets follow by whose they are.
    """

    live: LiveRoute
    cgroup: str
    attended: bool = True
    marking: Marking | None = None
    door: Door | None = None
    kinds: frozenset[str] = frozenset()
    owner: bool = False


class OpenSockets(Struct, frozen=True):
    """The internet sockets that a process has open, by what they carry.

    on_route: with the mark of its route; older: with none of ours. other_marks: mark -> how many have that,
    which is neither. tied: ifindex -> how many are bound to that adapter (SO_BINDTODEVICE). mptcp: how many
    are of MPTCP.
    """

    on_route: int = 0
    older: int = 0
    other_marks: Mapping[int, int] = {}
    tied: Mapping[int, int] = {}
    mptcp: int = 0


class Subject(Struct, frozen=True):
    """A process. title: for people. targets: that it is in, the nearest first. assigned: by whom, in words.

    sockets: None where they were not looked at. asks: programs that look names up in its stead.
    own_resolver: it has a resolv.conf of ours. elsewhere: it is in another network namespace.
    """

    title: str
    cgroup: str
    uid: int
    targets: tuple[Attachment, ...] = ()
    assigned: str = ""
    elsewhere: bool = False
    sockets: OpenSockets | None = None
    asks: tuple[str, ...] = ()
    own_resolver: bool = False

    @property
    def nearest(self) -> Attachment | None:
        """The target whose route it follows."""
        return self.targets[0] if self.targets else None


class Case(Struct, frozen=True):
    """A process on a machine. rules: all, in the kernel's order. entries: of all tables that are known.

    limits: what cannot be promised here (core/limits.py). belt: our nft table is there. kept: name servers
    that its route's adapter has now; health: what checks have found of that, None: there are none; since:
    when that began, in words.
    """

    identity: Identity
    machine: Machine
    subject: Subject
    rules: Sequence[Rule] = ()
    entries: Sequence[Entry] = ()
    limits: Sequence[Limit] = ()
    belt: bool = False
    kept: Servers = Servers()
    health: AdapterFound | None = None
    since: str = ""

    @property
    def steered(self) -> bool:
        """Whether nft marks its packets and gives them another source (Marks.PACKETS)."""
        nearest = self.subject.nearest
        return nearest is not None and nearest.live.marks is Marks.PACKETS

    @property
    def by_packets(self) -> bool:
        """Whether nft marks its packets, after its sockets have looked for a way without a mark."""
        nearest = self.subject.nearest
        belted = nearest is not None and nearest.live.marks is Marks.BOTH and not self.socket_mark
        return self.steered or (self.belt and belted)

    @property
    def socket_mark(self) -> int:
        """What its new sockets carry."""
        for target in self.subject.targets:
            if target.marking is not None and "mark" in target.kinds:
                return target.marking.mark
        return 0

    @property
    def packet_mark(self) -> int:
        """What its packets carry when they leave."""
        nearest = self.subject.nearest
        return self.identity.mark(nearest.live.number) if nearest and self.by_packets else self.socket_mark

    def name(self, ifindex: int) -> str:
        """An adapter's name."""
        found = (a.name for a in self.machine.adapters if a.ifindex == ifindex)
        return next(found, f"adapter {ifindex}")


class Asked(Struct, frozen=True):
    """One thing to ask the kernel. bound: the address that the socket is bound to, None: to none.

    looks_up: it is the way to a name server.
    """

    question: Question
    bound: IPAddress | None = None
    looks_up: bool = False


class Answered(Struct, frozen=True):
    """What was asked, and the kernel's answer. marked: the same for the marked packet."""

    asked: Asked
    reply: Reply
    marked: tuple[Question, Reply] | None = None
