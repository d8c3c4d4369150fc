"""What the daemon answers."""

from __future__ import annotations

from msgspec import Struct

from procroute.protocol.adapter_facts import AdapterFacts
from procroute.protocol.rule_facts import RuleFacts, TriedRule
from procroute.protocol.values import (
    VERSION,
    Assignment,
    Finding,
    Moved,
    Running,
    Socket,
    Way,
)


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


class Opened(_Reply, frozen=True, tag="opened"):
    """The caller is on that route. adapter: by which it leaves now; empty: by none, or the machine's own way.

    notes: lines for people about what is not as they might expect.
    """

    route: str
    adapter: str = ""
    notes: list[str] = []


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


class RuleList(_Reply, frozen=True, tag="rule-list"):
    """The answer to `rules`. notes: what of them does not hold now. held: files whose execs are held.

    wrong: why the rule files as they are now are not used, and these rules, read before, still are.
    """

    rules: list[RuleFacts]
    held: int = 0
    notes: list[str] = []
    wrong: str = ""


class Tried(_Reply, frozen=True, tag="tried"):
    """The answer to `try`: up to and with the rule that holds, or all where none does."""

    rules: list[TriedRule]


class Matched(_Reply, frozen=True, tag="matched"):
    """The answer to `match`: the PIDs, in order."""

    pids: list[int]


class Applied(_Reply, frozen=True, tag="applied"):
    """How many processes were put on a rule's route that were not on it. notes: what of the rules does not
    hold now: whom those mean could not be placed. released: how many were let go, as no rule holds for them.
    """

    placed: int
    released: int = 0
    notes: list[str] = []


class Edited(_Reply, frozen=True, tag="edited"):
    """A rule was added, removed or switched. notes: what of the rules does not hold now."""

    rule: RuleFacts
    notes: list[str] = []


class AdapterList(_Reply, frozen=True, tag="listed"):
    """The answer to `adapters`."""

    adapters: list[AdapterFacts]


class Inspected(_Reply, frozen=True, tag="inspected"):
    """The answer to `inspect`. executable: what it runs, as far as the kernel tells."""

    process: Running
    executable: str = ""
    sockets: list[Socket] = []


class Watching(_Reply, frozen=True, tag="watching"):
    """Events follow. assignments, processes: what there is now."""

    assignments: list[Assignment]
    processes: list[Running] = []


Reply = (
    Error
    | Placed
    | Opened
    | Assigned
    | Released
    | Assignments
    | AdapterList
    | Inspected
    | Explained
    | Reloaded
    | RuleList
    | Tried
    | Matched
    | Applied
    | Edited
    | Watching
)
