"""Move processes that run already into an assignment, with all that descends from them.

All threads of a process move at once, and what it forks afterwards is born inside. So those that were given
go first, and then whoever is found outside, until nobody is: a process that forks all the time is inside as
soon as one of its line is met alive.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from procroute.core.gathering import Kin, alike, belonging, own_stacks
from procroute.engine.membership import enter
from procroute.kernel import cgroup_mount, cgroups, family
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.living import user_of
from procroute.kernel.pinned import Known, kin
from procroute.kernel.urgency import urgent

_SECONDS, _PATIENCE = 10.0, 2.0
"""To follow somebody; and before that is given all the time of a processor."""
_REST = 0.001
"""Meanwhile: who looks again at once would see the same, as nobody else was running."""
_QUIET = 20
"""So many looks in a row must find nobody where some have gone before it could be told whose they were."""


class Gathered(Struct, frozen=True):
    """Who was moved. others: descendants of another user's, which stay where they are.

    settled: nobody was outside any more; else somebody forks faster than it can be followed. tree: with
    descendants.
    """

    members: frozenset[Known]
    others: frozenset[Known] = frozenset()
    settled: bool = True
    tree: bool = False

    @property
    def whole(self) -> bool:
        """Whether no descendant is outside: those that are born later are inside, too."""
        return self.tree and self.settled and not self.others


Around = Mapping[Path, Collection[int]]
"""Cgroups, and the PIDs that were in them."""


def around(pid: int) -> Around:
    """The cgroup that a process is in, with all who are there: what `gather` has to know of one that is moved
    before it begins. Nothing where that is not seen from here."""
    path = _place(cgroup_mount.find(), pid)
    return {path: set(_pids(path))} if path else {}


def _place(mount: CgroupMount, pid: int) -> Path | None:
    """The cgroup that a process is in; None where it has gone, or where that is not seen from here."""
    try:
        below = mount.below(cgroup_mount.of_process(pid) or "")
    except OSError:
        return None
    return mount.path / below.lstrip("/") if below else None


def gather(
    assignment: Path,
    given: Collection[Known],
    *,
    tree: bool = False,
    uid: int | None = None,
    before: Around | None = None,
    likely: Iterable[int] = (),
) -> Gathered:
    """Move processes into an assignment, which is its cgroup; those that have ended are fine.

    tree: with their descendants; of these, where `uid` is given, only that user's. before: `around` of those
    that were moved into the assignment already. likely: PIDs of descendants, parents first, as they were seen
    a moment ago: saves looking for them. A process that has got the number of another is never touched.
    Raises ProcrouteError where the kernel refuses; who was moved by then stays moved (membership.let_out).
    """
    gathering = _Gathering(assignment, uid, before or {})
    gathering.begin(given, tree=tree)
    if tree:
        gathering.begin_with(likely)
    settled = gathering.follow() if tree else True
    return Gathered(frozenset(gathering.moved), frozenset(gathering.others), settled, tree)


class _Gathering:
    """members: all that ever were, by PID. own: stacks that only members have.

    origins: the cgroups where members were, with who was in them at the beginning. unclear: at the last look
    some had gone before it could be told whose they were, or were like members.
    """

    def __init__(self, assignment: Path, uid: int | None, before: Around) -> None:
        self.moved: set[Known] = set()
        self.others: set[Known] = set()
        self._assignment = assignment
        self._mount = cgroup_mount.find()
        self._uid = uid
        self._members: dict[int, Kin] = {}
        self._reapers: set[int] = {0, 1}
        self._origins = {path: set(pids) for path, pids in before.items()}
        self._own: frozenset[int] = frozenset()
        self._unclear: bool | None = None

    def begin(self, given: Collection[Known], *, tree: bool) -> None:
        """Move those that were given; with a tree, note what tells who else belongs to it."""
        if tree:
            for one in given:
                found = kin(one.pid)
                if found and found[0] == one:
                    self._members[one.pid] = found[1]
                    self._note_origin(one.pid)
            self._own = own_stacks((k, self._parent_of(k)) for k in self._members.values())
        self._move(given)

    def begin_with(self, likely: Iterable[int]) -> None:
        """Move those of them, parents first, whose parent is a member now."""
        seen = filter(None, (kin(pid) for pid in likely if pid not in self._members))
        # One after the other: who is met is a member when its children's turn comes.
        self._move(
            [one for one, its_kin in seen if its_kin.parent in self._members and self._meet(one, its_kin)]
        )

    def _parent_of(self, child: Kin) -> Kin | None:
        found = kin(child.parent) if child.parent else None
        self._note_reapers(child.parent)
        return found and found[1]

    def follow(self) -> bool:
        """Move whoever is outside until nobody is; whether that came about."""
        if self._settled(_PATIENCE):
            return True
        # Where there is but one processor, who forks all the time has more of it than we.
        with urgent():
            return self._settled(_SECONDS - _PATIENCE, _REST)

    def _settled(self, seconds: float, rest: float = 0) -> bool:
        """rest: seconds that others have between two looks that find nobody."""
        deadline = time.monotonic() + seconds
        quiet = unclear = 0
        while time.monotonic() < deadline:
            outside = self._outside()
            self._move(outside)
            quiet = 0 if outside else quiet + 1
            unclear = 0 if outside else unclear + bool(self._unclear)
            if quiet >= (_QUIET if unclear or rest else 1):
                return True
            if quiet and rest:
                time.sleep(rest)
        return False

    def _outside(self) -> list[Known]:
        """The members that can be seen outside."""
        inside = {pid for pid, _ in cgroups.processes(self._assignment)}
        living = inside | set(family.descendants(inside))
        children = self._who(living - inside)
        newcomers = self._who(self._newcomers(living))
        new = {pid: one[1] for pid, one in newcomers.items() if one}
        orphans = any(kin.parent in self._reapers for kin in new.values())
        # Looking at all who were there costs most; not where nothing stirs.
        earlier = self._earlier(living) if orphans or self._unclear is not False else []
        found = [one for one in children.values() if one]
        found += [one for one in earlier if one[1].stack in self._own]
        bystanders = [its_kin for _, its_kin in earlier if its_kin.stack not in self._own]
        for pid in belonging(new, living, self._members, self._reapers, bystanders):
            found += [one] if (one := newcomers[pid]) else []
            del new[pid]
        self._unclear = (
            None in children.values()
            or None in newcomers.values()
            or alike([*bystanders, *new.values()], self._members)
        )
        return [known for known, its_kin in found if self._meet(known, its_kin)]

    @staticmethod
    def _who(pids: Iterable[int]) -> dict[int, tuple[Known, Kin] | None]:
        return {pid: kin(pid) for pid in pids}

    def _earlier(self, but: Collection[int]) -> list[tuple[Known, Kin]]:
        """Who was in the members' cgroups at the beginning and lives."""
        there = {
            pid
            for path, before in self._origins.items()
            for pid in _pids(path)
            if pid in before and pid not in but
        }
        return [one for one in self._who(there).values() if one]

    def _meet(self, known: Known, its_kin: Kin) -> bool:
        """Take note of a member that is outside; whether it is to be moved. We ourselves stay."""
        if known.pid == os.getpid():
            return False
        self._members[known.pid] = its_kin
        self._note_origin(known.pid)
        if self._uid is None or user_of(known.pid) == (self._uid,) * 3:
            return True
        self.others.add(known)
        return False

    def _newcomers(self, but: Collection[int]) -> Iterator[int]:
        """The latest first: they live the longest."""
        for path, before in self._origins.items():
            yield from (pid for pid in reversed(list(_pids(path))) if pid not in before and pid not in but)

    def _note_origin(self, pid: int) -> None:
        if any(pid in there for there in self._origins.values()):
            return
        path = _place(self._mount, pid)
        if path and path != self._assignment and path not in self._origins:
            self._origins[path] = set(_pids(path))

    def _note_reapers(self, pid: int) -> None:
        """A process and its ancestors: whoever of them is a subreaper gets the orphans."""
        while pid not in self._reapers and (found := kin(pid)) is not None:
            self._reapers.add(pid)
            pid = found[1].parent

    def _move(self, all_of: Iterable[Known]) -> int:
        moved = {one for one in all_of if enter(self._assignment, one)}
        self.moved |= moved
        return len(moved)


def _pids(path: Path) -> Iterator[int]:
    try:
        yield from map(int, (path / "cgroup.procs").read_text().split())
    except OSError:
        return
