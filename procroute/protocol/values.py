"""What requests, replies and events speak of."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from procroute.model import Existing

VERSION: Final = 1
"""Of the protocol. A daemon refuses requests of another one, and says which it speaks."""

Pid = Annotated[int, Meta(ge=1, le=1 << 22)]
Word = Annotated[str, Meta(min_length=1, max_length=4096)]
How = Literal["run", "assign", "embedded", "unit", "rule"]
Why = Literal["released", "ended"]
Down = Literal["block", "next", "main"]
"""The values of model.OnDown."""


class Options(Struct, frozen=True, omit_defaults=True):
    """An adapter and options, which make a route. via: several adapters with commas between.

    on_down, existing, hold, inbound: as in `[route.NAME]` (docs/configuration.md); None: as the route of that
    name has it. dns: addresses; empty: look-ups are left alone; None: as known.
    """

    via: Word
    strict: bool = False
    gateway4: str | None = None
    gateway6: str | None = None
    dns: Annotated[list[str], Meta(max_length=16)] | None = None
    on_down: Down | None = None
    existing: Existing | None = None
    hold: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    inbound: bool = False


class Wanted(Options, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A route as somebody asks for it; a key that is not known is an error."""


class Process(Struct, frozen=True, omit_defaults=True):
    """A process. name and command: empty where they are not for the asker to see."""

    pid: int
    name: str = ""
    command: list[str] = []


class Sockets(Struct, frozen=True, omit_defaults=True):
    """Internet sockets of an assignment's processes: on its route, or not since they are older."""

    on_route: int = 0
    elsewhere: int = 0


class Assignment(Struct, frozen=True, omit_defaults=True):
    """Processes on a route. named: what the configuration calls that; empty: it has no name for it.
    adapter: by which it leaves now; empty: the machine's own way (`on_down`).

    how: run, assign, embedded (a `procroute run` with an engine of its own), unit (that somebody started in
    the route's slice) or rule, which `rule` names: FILE:LINE. owner: the uid whose processes they are; by:
    the uid who asked, or whose rule it is. cgroup: from the mount
    point of cgroup v2; origin: where its processes return to. in_place: that is their unit's own cgroup.
    since: seconds of the Epoch. options: of the route, by which one asks for the same; None: they are not for
    the asker to see, or not known.
    """

    id: int
    route: str
    adapter: str
    how: How
    owner: int
    by: int
    cgroup: str
    origin: str = "/"
    in_place: bool = False
    since: float = 0
    command: str = ""
    rule: str = ""
    processes: list[Process] = []
    sockets: Sockets | None = None
    options: Options | None = None
    named: str = ""

    @property
    def called(self) -> str:
        """What people call its route."""
        return self.named or self.route


class Ending(Struct, frozen=True, omit_defaults=True):
    """How a run has ended.

    status: of its first process, as a shell has it: 128+n for signal n; None: not known. sockets: whether
    any of its processes made an internet socket; None: not known.
    """

    status: int | None = None
    sockets: bool | None = None


class Moved(Struct, frozen=True, omit_defaults=True):
    """What became of the sockets that were open already.

    follow: unconnected UDP sockets that send by the new way from now on. remain: connections that go on as
    they are until they end. reset: connections that were ended. left: why others stay as they were, in words,
    with how many of each.
    """

    follow: int = 0
    remain: int = 0
    reset: int = 0
    left: dict[str, int] = {}


class Finding(Struct, frozen=True):
    """One thing that is so. id: for programs, and for good; text: for people."""

    id: str
    text: str


class Way(Struct, frozen=True, omit_defaults=True):
    """Where packets of a process to a destination go, from sockets that are bound to an address or to none.

    outcome: leaves by `adapter`; local: stays on this machine; unreachable: the kernel refuses it, with
    `error` (ENETUNREACH …); dropped: the guard drops what would leave by `adapter`. preference: of the ip
    rule that decided, None: none did.
    """

    family: Literal["ipv4", "ipv6"]
    destination: str
    outcome: Literal["leaves", "local", "unreachable", "dropped"]
    bound: str = ""
    adapter: str = ""
    gateway: str = ""
    source: str = ""
    preference: int | None = None
    table: int = 0
    error: str = ""


class Running(Struct, frozen=True, omit_defaults=True):
    """A process of the machine, whoever's it is.

    began: clock ticks from boot to its start (proc_pid_stat(5)): with the PID it is never another's.
    user: its real uid. command: its words, empty where they are not for the asker to see. cgroup: from the
    mount point. unit: of systemd, else empty. assignment: the id of the one it is in; 0: none.
    """

    pid: int
    began: int
    parent: int = 0
    user: int = 0
    name: str = ""
    command: list[str] = []
    cgroup: str = "/"
    unit: str = ""
    assignment: int = 0


class Socket(Struct, frozen=True, omit_defaults=True):
    """An internet socket.

    local, remote: address and port as people write them; remote is empty without a peer. state: as ss(8) has
    it. adapter: by which it leaves now; empty: not known or none.
    on_route: whether that is as its process's route says; None: its process has none.
    """

    kind: Literal["tcp", "udp", "ping", "raw"]
    local: str
    remote: str = ""
    state: str = ""
    adapter: str = ""
    on_route: bool | None = None


class Carried(Struct, frozen=True, omit_defaults=True):
    """Bytes so far, and packets that the guard dropped. name: of adapter or route; id: of an assignment."""

    name: str = ""
    id: int = 0
    received: int = 0
    sent: int = 0
    dropped: int = 0
