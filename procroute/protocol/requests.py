"""What a client asks for."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from procroute.model import Existing
from procroute.protocol.values import VERSION, Pid, Wanted, Word
from procroute.rulebook.shape import WrittenRule


class _Request(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="do"
):
    """id: chosen by the client, comes back with the reply. v: the version that the client speaks."""

    id: Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] = 0
    v: int = VERSION


class Run(_Request, frozen=True, tag="run"):
    """Put the caller itself on a route; it is about to execute a command. command: its words, to be shown.

    ending: when it is over tell how it ended, by its `removed` event, and hang up.
    """

    route: Wanted
    command: Annotated[list[str], Meta(max_length=4096)] = []
    ending: bool = False


class Open(_Request, frozen=True, tag="open"):
    """Have the route there whose slice systemd has started the caller in, for as long as it is in it."""

    route: Wanted


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


class Rules(_Request, frozen=True, tag="rules"):
    """The route rules in their order: the administrator's and the asker's own, for root everybody's."""


class TryRules(_Request, frozen=True, tag="try"):
    """Which rule holds for a process, and why each earlier one does not. For its owner and root."""

    pid: Pid


class MatchRule(_Request, frozen=True, tag="match"):
    """Which processes a rule would match that is not written yet: of all that the asker may place."""

    rule: WrittenRule


class ApplyRules(_Request, frozen=True, tag="apply"):
    """Have rules take what runs already: for root all, else the asker's own processes by rules that he has.

    existing: as of `assign`; None: as each rule says.
    """

    existing: Existing | None = None


class AddRule(_Request, frozen=True, tag="add-rule"):
    """One more rule, the last of a file, which takes effect at once.

    rule: as in a rule file. file: its name, without a folder; None: 90-added.toml, passing: 90-passing.toml.
    passing: until the machine's next start.
    """

    rule: WrittenRule
    file: Word | None = None
    passing: bool = False


class EditRule(_Request, frozen=True, tag="edit-rule"):
    """Remove a rule, or switch it on or off. rule: FILE:LINE, or the file's name alone and the line."""

    rule: Word
    edit: Literal["remove", "enable", "disable"]


class Adapters(_Request, frozen=True, tag="adapters"):
    """Every adapter but loopback, those with a way out first."""


class Inspect(_Request, frozen=True, tag="inspect"):
    """One process with its sockets. For its owner and root."""

    pid: Pid


class Watch(_Request, frozen=True, tag="watch"):
    """From now on send events: first what there is, then what changes.

    processes: of every process, too, not of assignments only. traffic: how much is carried, every so many
    seconds; 0: never.
    """

    processes: bool = False
    traffic: Annotated[float, Meta(ge=0, le=3600)] = 0


Request = (
    Run
    | Open
    | Assign
    | Release
    | Ps
    | Rules
    | TryRules
    | MatchRule
    | ApplyRules
    | AddRule
    | EditRule
    | Adapters
    | Inspect
    | Explain
    | Reload
    | Watch
)
