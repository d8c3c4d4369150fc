"""What procrouted and its clients say to each other: types, and how they are written. No sockets here.

A message is a frame: its length as four bytes, the highest first, then so many bytes of JSON (RFC 8259).
Requests name what to `do`; each gets one reply, which names what it `is` and carries the request's `id`.
After `watch` come events without being asked for, each of which names its `event`. docs/protocol.md shows
one of each.

What a message does not know it refuses, so that a misspelt option is told and not passed over.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from procroute.errors import ProcrouteError

VERSION: Final = 1
"""Of the protocol. A daemon refuses requests of another one, and says which it speaks."""
REQUEST_LIMIT: Final = 1 << 18
"""Bytes of JSON that a request may have."""
REPLY_LIMIT: Final = 1 << 26
"""Bytes of JSON that a reply or an event may have."""
LENGTH: Final = struct.Struct(">I")

Pid = Annotated[int, Meta(ge=1, le=1 << 22)]
Word = Annotated[str, Meta(min_length=1, max_length=4096)]
How = Literal["run", "assign", "embedded", "unit"]
Why = Literal["released", "ended"]
Existing = Literal["keep", "reset"]
"""What becomes of connections that are open when a process changes its route."""


class Wanted(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A route as somebody asks for it. dns: addresses; empty: look-ups are left alone; None: as known."""

    via: Word
    strict: bool = False
    gateway4: str | None = None
    gateway6: str | None = None
    dns: Annotated[list[str], Meta(max_length=16)] | None = None


class _Request(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do"
):
    """id: chosen by the client, comes back with the reply. v: the version that the client speaks."""

    id: Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] = 0
    v: int = VERSION


class Run(_Request, frozen=True, tag="run"):
    """Put the caller itself on a route; it is about to execute a command. command: its words, to be shown."""

    route: Wanted
    command: Annotated[list[str], Meta(max_length=4096)] = []


class Assign(_Request, frozen=True, tag="assign"):
    """Put processes that run already on a route: by PID, by name, or all of a systemd unit.

    tree: with all that descends from them. servers: UDP sockets on a port of their own choice follow, too.
    """

    route: Wanted
    pids: Annotated[list[Pid], Meta(max_length=10_000)] = []
    name: str = ""
    unit: str = ""
    tree: bool = False
    existing: Existing = "keep"
    servers: bool = False


class Release(_Request, frozen=True, tag="release"):
    """Let assignments go, by their ids or by PIDs that are in them, back to the cgroups they came from."""

    ids: Annotated[list[int], Meta(max_length=10_000)] = []
    pids: Annotated[list[Pid], Meta(max_length=10_000)] = []
    existing: Existing = "keep"


class Ps(_Request, frozen=True, tag="ps"):
    """Every assignment with its processes. sockets: count theirs as well."""

    sockets: bool = False


class Explain(_Request, frozen=True, tag="explain"):
    """How packets of a process or a unit go, to `destination` or anywhere, and why."""

    pid: Pid | None = None
    unit: str = ""
    destination: str = ""


class Reload(_Request, frozen=True, tag="reload"):
    """Read the configuration again. For root only."""


class Watch(_Request, frozen=True, tag="watch"):
    """From now on send events: first what there is, then what changes."""


Request = Run | Assign | Release | Ps | Explain | Reload | Watch


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
    """Processes on a route.

    how: run, assign, embedded (a `procroute run` with an engine of its own) or unit (that somebody started in
    the route's slice). owner: the uid whose processes they are; by: the uid who asked. cgroup: from the mount
    point of cgroup v2; origin: where its processes return to. in_place: that is their unit's own cgroup.
    since: seconds of the Epoch.
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
    processes: list[Process] = []
    sockets: Sockets | None = None


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


class _Reply(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="is"):
    id: int = 0
    v: int = VERSION


class Error(_Reply, frozen=True, tag="error"):
    """It was not done: ProcrouteError as data."""

    code: str
    message: str
    hint: str = ""


class Placed(_Reply, frozen=True, tag="placed"):
    """The caller is on the route. resolv_conf: what its /etc/resolv.conf should say, if it can have one."""

    assignment: Assignment
    notes: list[str] = []
    resolv_conf: str | None = None


class Assigned(_Reply, frozen=True, tag="assigned"):
    """dns: whether look-ups follow, in words."""

    assignments: list[Assignment]
    moved: Moved
    dns: str
    notes: list[str] = []


class Released(_Reply, frozen=True, tag="released"):
    """What was let go."""

    assignments: list[Assignment]
    moved: Moved
    notes: list[str] = []


class Assignments(_Reply, frozen=True, tag="assignments"):
    """The answer to `ps`."""

    assignments: list[Assignment]


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


class Explained(_Reply, frozen=True, tag="explained"):
    """The answer to `explain`. route: its name, empty for a bystander; mark: of its sockets.

    findings: from the cgroup to the look-ups. families: from the ip rules to the guard, for each family in
    words; ways: as data, for each family first that of sockets that are bound to nothing. caveats: why a
    packet could still go elsewhere, or nowhere.
    """

    subject: str
    families: dict[str, list[str]] = {}
    caveats: list[Finding] = []
    route: str = ""
    mark: int = 0
    findings: list[Finding] = []
    ways: list[Way] = []


class Reloaded(_Reply, frozen=True, tag="reloaded"):
    """The configuration is as the file says. notes: what of it does not hold yet."""

    notes: list[str] = []


class Watching(_Reply, frozen=True, tag="watching"):
    """Events follow. assignments: what there is now."""

    assignments: list[Assignment]


Reply = Error | Placed | Assigned | Released | Assignments | Explained | Reloaded | Watching


class _Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """at: seconds of the Epoch."""

    at: float


class Added(_Event, frozen=True, tag="added"):
    """There is a new assignment."""

    assignment: Assignment


class Removed(_Event, frozen=True, tag="removed"):
    """An assignment is no more. why: released, or ended with its last process."""

    assignment: Assignment
    why: Why


class Left(_Event, frozen=True, tag="left"):
    """A process of an assignment is in a cgroup that is no route's; a bystander's from then on.

    Somebody else than the daemon moved it, or it moved itself. process: the first of those that did;
    followers: how many below it left with it. cgroup: as /proc calls it. ended: they were, as the route is
    strict.
    """

    assignment: Assignment
    process: Process
    cgroup: str
    followers: int = 0
    ended: bool = False


class Repaired(_Event, frozen=True, tag="repaired"):
    """Somebody had changed what is ours, and it is as it should be again. ms: from the news to that."""

    what: list[str]
    who: str = ""
    ms: float = 0


class Lost(_Event, frozen=True, tag="lost"):
    """You read too slowly: events were dropped, and no more come. Ask anew."""


Event = Added | Removed | Left | Repaired | Lost

_request_decoder: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_reply_decoder: Final[msgspec.json.Decoder[Reply]] = msgspec.json.Decoder(Reply)
_event_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_encode: Final = msgspec.json.Encoder().encode


class _Head(Struct):
    """What can be said of a request that is not understood."""

    id: int = 0
    v: int = VERSION


_Versioned = TypeVar("_Versioned", bound=Request | _Head)


def frame(message: Request | Reply | Event) -> bytes:
    """A message as it is sent."""
    text = _encode(message)
    return LENGTH.pack(len(text)) + text


def read_request(text: bytes) -> Request:
    """A request, from the JSON of a frame.

    Raises ProcrouteError protocol, with what is wrong, and protocol-version for another version.
    """
    try:
        return _of_this_version(_request_decoder.decode(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        if asked_id(text)[1] != VERSION:
            _of_this_version(_Head(*asked_id(text)))
        raise ProcrouteError("protocol", f"the request is not understood: {e}", "see docs/protocol.md") from e


def _of_this_version(request: _Versioned) -> _Versioned:
    if request.v != VERSION:
        raise ProcrouteError(
            "protocol-version",
            f"the daemon speaks version {VERSION} of the protocol, not {request.v}",
            "restart procrouted after an upgrade",
        )
    return request


def asked_id(text: bytes) -> tuple[int, int]:
    """The id and the version that a request carries, also where the rest of it makes no sense; else 0."""
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0, VERSION
    return (head.id if 0 <= head.id < 1 << 53 else 0), head.v


def read_reply(text: bytes) -> Reply:
    """A reply, from the JSON of a frame. Raises ProcrouteError protocol."""
    try:
        return _reply_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise ProcrouteError("protocol", f"the daemon's answer is not understood: {e}") from e


def read_event(text: bytes) -> Event:
    """An event, from the JSON of a frame. Raises ProcrouteError protocol."""
    try:
        return _event_decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise ProcrouteError("protocol", f"the daemon's event is not understood: {e}") from e
