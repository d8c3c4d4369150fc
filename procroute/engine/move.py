"""What becomes of open sockets when processes that run already are put on a route, or let go.

    ahead = Ahead(pids, tree=True)                            # engine/open_sockets.py
    gathered = gather(assignment, known, tree=True, likely=ahead.descendants)    # engine/gather.py
    moved = follow(identity, live, assignment, machine, ahead=ahead, gathered=gathered)
    ...
    members = let_out(mount, assignment)
    moved = part(identity, number, members, machine, origin=origin)

To be called under the lock, when the processes are where they belong: what they open from then on is right at
birth. Sockets that were made outside have no guard: their mark, our ip rules and tables alone hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

from procroute.core.machine import Machine
from procroute.core.moving import Ground, assigned, moved, released
from procroute.engine import open_sockets, touching
from procroute.engine.gather import Gathered
from procroute.identity import Identity
from procroute.kernel import cgroups, family, held, ports, records, sockets
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.pinned import Known, identify, kin
from procroute.kernel.refusal import refused
from procroute.model import Existing, IPAddress, LiveRoute, Marks
from procroute.protocol import Moved, Sockets

_LOOKS = 10


def follow(
    identity: Identity,
    live: LiveRoute,
    assignment: Path,
    machine: Machine,
    *,
    existing: Existing = "keep",
    servers: bool = False,
    ahead: open_sockets.Ahead | None = None,
    gathered: Gathered | None = None,
    given: Mapping[int, int] | None = None,
) -> Moved:
    """Have the open sockets of the processes in an assignment follow its route, as far as they can.

    assignment: its cgroup. existing: what becomes of connections. servers: UDP servers follow, too. Sockets
    that a process outside holds as well are left. ahead: begun before the processes were moved, saves time;
    so does gathered, who they are. given: as `marks_given` tells.

    Raises ProcrouteError; what was done by then stays done.
    """
    ground = ground_of(identity, live, machine, existing, servers=servers)
    inside = _once(lambda: {pid for pid, _ in cgroups.processes(assignment)})
    try:
        known = gathered.members if gathered else frozenset()
        seen = _look_inside(assignment, known, ahead.listing if ahead else open_sockets.listing, given)
        whole = gathered is not None and gathered.whole
        holders = partial(_outside, ahead, inside, whole) if ahead else held.everybodys
        return moved(touching.treat(seen, assigned, ground, lambda pid: pid not in inside(), holders=holders))
    except OSError as e:
        raise refused(e, "socket", "move open sockets") from e


def ground_of(
    identity: Identity, live: LiveRoute, machine: Machine, existing: Existing, *, servers: bool = False
) -> Ground:
    """What is to be known for what becomes of sockets that shall follow a route."""
    adapter = machine.adapter_of(live)
    return Ground(
        identity,
        live.number,
        existing,
        servers,
        own=frozenset(a.interface.ip for a in adapter.addresses) if adapter else frozenset(),
        here=_addresses(machine),
        ports=ports.chosen_by_the_kernel(),
    )


def part(
    identity: Identity,
    number: int,
    members: Collection[Known],
    machine: Machine,
    *,
    existing: Existing = "keep",
    origin: Path | None = None,
    given: Mapping[int, int] | None = None,
) -> Moved:
    """Have the open sockets of processes follow a route no more that they have left.

    members: the processes. origin: a cgroup of no route, where those sockets were made that are older than
    the assignment; they lose all bits of ours. What was made in the assignment keeps the bound bit, by which
    its guard lets it go. Connections that are kept go on by the route. given: as `marks_given` tells,
    before their cgroup goes. Raises ProcrouteError.
    """
    ground = Ground(identity, number, existing, here=_addresses(machine))
    own = {one.pid: one.began for one in members}
    try:
        seen = open_sockets.look(members, given=given)
        plain = records.plain_ids(origin) if origin else frozenset()
        return moved(touching.treat(seen, released, ground, lambda pid: not _descends(pid, own), plain=plain))
    except OSError as e:
        raise refused(e, "socket", "let go of open sockets") from e


def unmark(identity: Identity, mount: CgroupMount, ended: Iterable[sockets.InetSocket]) -> None:
    """Have sockets that were ended carry a route's number no more: their programs may connect them again.

    Raises OSError.
    """
    inodes = {one.inode: one for one in ended if one.inode}
    who = held.everybodys() if inodes else {}
    for inode, one in inodes.items():
        for holder in filter(None, map(identify, who.get(inode, ()))):
            mark = 0 if one.cgroup in _plain(mount, holder) else identity.released
            if touching.remark(holder, inode, mark, identity.mark_mask):
                break


def _plain(mount: CgroupMount, holder: Known) -> frozenset[int]:
    """The ids of the cgroup of a process, where it is no route's: what is made there has no guard."""
    try:
        current = mount.of(holder.pid)
    except OSError:
        return frozenset()
    routed = records.within_target(mount.path, current)
    return frozenset() if routed else records.plain_ids(mount.path / current.lstrip("/"))


def marks_given(identity: Identity, routes: Iterable[tuple[LiveRoute, Iterable[Path]]]) -> dict[int, int]:
    """The marks that nft gives to packets, by the ids of the cgroups that their sockets were made in.

    routes: with their targets; it does so for those that it alone marks packets of.
    """
    return {
        one: identity.mark(live.number)
        for live, targets in routes
        if live.marks is Marks.PACKETS
        for target in targets
        for one in cgroups.ids(target)
    }


def count(
    identity: Identity,
    assignments: Iterable[tuple[int, Collection[int]]],
    given: Mapping[int, int] | None = None,
) -> list[Sockets]:
    """How many sockets are on the route, and how many are not, for each of (number, PIDs).

    Of TCP connections and UDP sockets that are in use; those of servers and over loopback do not count.
    given: as `marks_given` tells. Raises ProcrouteError.
    """
    try:
        known = open_sockets.listing()
    except OSError as e:
        raise refused(e, "socket", "list sockets") from e
    return [_count(identity, number, pids, known, given or {}) for number, pids in assignments]


def _count(
    identity: Identity,
    number: int,
    pids: Collection[int],
    known: open_sockets.Listing,
    given: Mapping[int, int],
) -> Sockets:
    inodes = {inode for pid in pids for inode in held.sockets_of(pid)}
    counted = [
        one
        for inode in inodes
        for one in known.get(inode, ())
        if one.state != sockets.LISTEN and not one.remote.is_loopback and not one.local.is_loopback
    ]
    marks = (identity.mark_of_packets(one.mark or 0, given.get(one.cgroup, 0)) for one in counted)
    on_route = sum(identity.number(mark) == number for mark in marks)
    return Sockets(on_route, len(counted) - on_route)


def _outside(ahead: open_sockets.Ahead, inside: Callable[[], set[int]], whole: bool) -> dict[int, set[int]]:
    """Who outside holds which socket; those that have just been forked by members, too, unless the tree is
    inside as a whole."""
    return ahead.others(inside(), () if whole else family.descendants(inside()))


def _look_inside(
    assignment: Path,
    members: Collection[Known],
    known: Callable[[], open_sockets.Listing],
    given: Mapping[int, int] | None,
) -> list[open_sockets.Seen]:
    """The sockets of all who are in an assignment; children that came meanwhile may hold others' by now.

    members: who is known to be in it.
    """
    moved = {one.pid: one for one in members}
    found: dict[int, open_sockets.Seen] = {}
    looked_at: set[int] = set()  # their numbers are nobody else's so soon (kernel/pinned.py)
    made_here = cgroups.ids(assignment)
    for _ in range(_LOOKS):
        new = {pid for pid, _ in cgroups.processes(assignment) if pid} - looked_at
        if not new:
            break
        who = filter(None, (moved.get(pid) or identify(pid) for pid in new))
        for seen in open_sockets.look(who, made_here, known, given):
            found.setdefault(seen.inode, seen)
        looked_at |= new
    return list(found.values())


def _descends(pid: int, members: Mapping[int, int]) -> bool:
    """Whether a process is one of these (pid -> began), or a child of theirs that came since."""
    for _ in range(64):
        found = kin(pid)
        if found is None:
            return True  # it has ended, and holds nothing
        if members.get(pid) == found[0].began:
            return True
        pid = found[1].parent
        if pid <= 1:
            return False
    return False


def _addresses(machine: Machine) -> frozenset[IPAddress]:
    return frozenset(a.interface.ip for adapter in machine.adapters for a in adapter.addresses)


def _once(find: Callable[[], set[int]]) -> Callable[[], set[int]]:
    """The same, looked up when it is first asked for."""
    found: list[set[int]] = []

    def get() -> set[int]:
        if not found:
            found.append(find())
        return found[0]

    return get
