"""What is known of a process that is to be explained: its place, its route, who put it there, its sockets.

Nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from procroute.core.desired import door
from procroute.core.door import Marking
from procroute.core.explain_case import Attachment, OpenSockets, Subject
from procroute.core.machine import Observed
from procroute.core.owners import route_of
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import (
    cgroups,
    held,
    in_place,
    lookup_daemons,
    process_facts,
    programs,
    records,
    resolvers,
    sockets,
)
from procroute.kernel.linux import Linux
from procroute.kernel.process_facts import Facts
from procroute.model import Marks
from procroute.protocol import Assignment
from procroute.terminal import printable
from procroute.user_names import spoken

Known = Callable[[str], Assignment | None]
"""The assignment whose cgroup, from the mount point, is this one."""


def process(pid: int) -> Facts:
    """What is known of a process. Raises ProcrouteError process-unknown, process-unfit."""
    facts = process_facts.facts(pid)
    if facts is None:
        what, hint = process_facts.why_not(pid)
        raise ProcrouteError("process-unknown", what, hint)
    if facts.of_kernel:
        raise ProcrouteError(
            "process-unfit",
            f"{printable(facts.name)} (pid {pid}) is a thread of the kernel",
            "what the kernel sends for itself goes by main; name the process that uses it",
        )
    return facts


def subject(linux: Linux, observed: Observed, who: Facts, title: str, known: Known) -> Subject:
    """A process as it is now. title: it, in words; known: what a daemon remembers of assignments.

    Raises ProcrouteError process-unknown.
    """
    try:
        cgroup = linux.cgroup_mount.of(who.pid)
    except OSError:
        raise ProcrouteError("process-unknown", *process_facts.why_not(who.pid)) from None
    uid = who.uids[1]
    if who.namespace != process_facts.namespace_of("self"):
        return Subject(title, cgroup, uid, elsewhere=True)
    targets = _attachments(linux, observed, cgroup) or _as_owner(linux, observed, who)
    return Subject(
        title,
        cgroup,
        uid,
        tuple(targets),
        assigned=_assigned(linux, targets[0], cgroup, known) if targets and not targets[0].owner else "",
        sockets=_sockets(linux.identity, who.pid, targets),
        asks=lookup_daemons.all_asked_by(who.pid),
        own_resolver=resolvers.is_private_for(who.pid),
    )


def _attachments(linux: Linux, observed: Observed, cgroup: str) -> list[Attachment]:
    """The targets that a cgroup is in, the nearest first."""
    place = linux.mount / cgroup.lstrip("/")
    everybodys = [
        *(t for t in records.targets(linux.mount, linux.namespace) if t.identity == linux.identity),
        *linux.further_targets(),
    ]
    above = [t for t in everybodys if place.is_relative_to(t.path)]
    attended = {t.live.number for t in everybodys if cgroups.attended(t.path)}
    return [
        _attachment(observed, t, f"/{t.path.relative_to(linux.mount)}", t.live.number in attended)
        for t in sorted(above, key=lambda t: len(t.path.parts), reverse=True)
    ]


def _as_owner(linux: Linux, observed: Observed, who: Facts) -> list[Attachment]:
    """What a process that is in no target follows by whose its sockets are, at most one."""
    real, effective, *_ = who.uids
    live = route_of(observed.ours.targets, real, effective)
    if live is None or effective not in {one.uid for one in observed.ours.owners or ()}:
        return []
    identity, strict = linux.identity, live.route.strict
    marking = Marking(identity.mark(live.number), identity.mark_mask, identity.bound, strict)
    kinds = {"mark"} if strict else {"mark", "bound", "listen"}
    attended = cgroups.attended(linux.path(live.number))
    return [Attachment(live, "/", attended, marking, kinds=frozenset(kinds), owner=True)]


def _attachment(observed: Observed, target: records.Target, cgroup: str, attended: bool) -> Attachment:
    if target.live.marks is Marks.PACKETS:
        return Attachment(target.live, cgroup, attended, door=door(observed.machine, target.live))
    found = programs.attached(str(target.path))
    if found is None:
        return Attachment(target.live, cgroup, attended)
    return Attachment(target.live, cgroup, attended, found.marking, found.door, found.kinds)


def _assigned(linux: Linux, target: Attachment, cgroup: str, known: Known) -> str:
    """Who put it there, as far as that is known."""
    below = Path(cgroup).relative_to(target.cgroup).parts
    whole = in_place.is_in_place(Path(target.cgroup))
    if not below and not whole:
        return "somebody moved it right into the target"
    place = target.cgroup if whole else f"{target.cgroup}/{below[0]}"
    assignment = known(place)
    if assignment is not None:
        said = "" if assignment.by == assignment.owner else f", asked for by {spoken(assignment.by)}"
        said += f", by {printable(assignment.rule)}" if assignment.rule else ""
        how = f"{assignment.how}, in place" if whole else assignment.how
        return f"assignment {assignment.id} ({how}) of {spoken(assignment.owner)}{said}"
    if whole:
        return f"{Path(place).name} was put there as a whole with procroute assign"
    origin = cgroups.origin(linux.mount / place.lstrip("/"))
    name = below[0].removeprefix("procroute-").removesuffix(".scope")
    how, _, number = name.partition("-")
    if how == "run":
        engine = number.partition(".")[0]
        facts = process_facts.facts(int(engine)) if engine.isdecimal() else None
        by = f" by {spoken(facts.uids[0])}" if facts is not None else ""
        return f"put there{by} with procroute run (pid {engine}); it came from {origin}"
    if how == "assign":
        return f"put there with procroute assign; it came from {origin}"
    return f"started there as {below[0]}, by whoever chose that slice for it"


def _sockets(identity: Identity, pid: int, targets: list[Attachment]) -> OpenSockets | None:
    """What its open sockets carry; None where the kernel does not tell now."""
    try:
        mine = held.sockets_of(pid)
        everybodys = sockets.listed(sockets.TCP, sockets.UDP, sockets.MPTCP) if mine else ()
        found = [each for each in everybodys if each.inode in mine]
    except OSError:
        return None
    number = targets[0].live.number if targets else 0
    on_route = older = 0
    others: Counter[int] = Counter()
    for each in found:
        mark = each.mark or 0
        if number and identity.number(mark) == number:
            on_route += 1
        elif mark:
            others[mark] += 1
        else:
            older += 1
    tied = Counter(each.ifindex for each in found if each.ifindex)
    mptcp = sum(each.protocol == sockets.MPTCP for each in found)
    return OpenSockets(on_route, older, others, tied, mptcp)
