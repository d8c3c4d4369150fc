"""Who has left an assignment by another cgroup: told, and ended where the route is strict.

The kernel tells (kernel/left.py); here it is decided what that means. Not all that moves has left: we let
processes go and put them on other routes ourselves, and so does a `procroute cleanup --force`. All of these
hold the lock meanwhile, so what is looked at under it is settled.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from msgspec import Struct

from procroute.core.leaving import Member, outside, remedy, report
from procroute.core.unit_names import slice_of
from procroute.daemon.log_words import told_of
from procroute.engine.ending import ENDED, end_all, went
from procroute.engine.lock import lock, patient
from procroute.engine.words import Tell
from procroute.kernel import family, left, records, user_managers
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.pinned import Known
from procroute.kernel.process_facts import name_of
from procroute.protocol import Assignment, Event, Left, Process
from procroute.told import NOTICE, WARNING

_REMEMBERED: Final = 256
"""So many assignments that have ended are known still: who left last may be heard of after that."""


_LATE: Final = 2.0
"""So many seconds at most after the end of an assignment."""


class _Kept(Struct, frozen=True):
    assignment: Assignment
    strict: bool


class Leavers:
    """Used from one thread, but for `fileno` and `hear`. said: takes each event."""

    def __init__(self, mount: CgroupMount, tell: Tell, said: Callable[[Event], None]) -> None:
        self._mount = mount
        self._tell = tell
        self._said = said
        self._left = left.listen()
        self._kept: dict[int, _Kept] = {}
        self._ended: dict[int, _Kept] = {}
        self._last = 0.0
        self._rests = True
        if self._left is None:
            tell("this kernel does not tell who leaves a route by another cgroup: see procroute status")

    def fileno(self) -> int | None:
        """Readable when there is something to judge; None: the kernel does not tell."""
        return self._left.fileno() if self._left else None

    def hear(self) -> bool:
        """Take in that there is news, from any thread; whether `judge` has something to do."""
        return self._left is not None and self._left.read()

    def note(self, assignment: Assignment, path: Path, *, strict: bool) -> None:
        """Watch an assignment, whose cgroup is at this path. A run with an engine of its own has that."""
        if self._left is None or assignment.how == "embedded":
            return
        self._rests = False
        self._kept[assignment.id] = _Kept(assignment, strict)
        try:
            if assignment.how == "unit":  # systemd starts others beside it, and tells nobody
                self._left.keep_around(path.parent, assignment.id)
            self._left.keep(path, assignment.id)
        except OSError as e:
            self._tell(f"who leaves assignment {assignment.id} by another cgroup will not be seen: {e}")

    def expect(self, number: int, first: Known) -> None:
        """Note how the first process of an assignment that is watched will end."""
        if self._left is not None:
            try:
                self._left.expect(number, first)
            except OSError as e:
                self._tell(f"the status of assignment {number} will not be known: {e}")

    def status(self, number: int) -> int | None:
        """How that process has ended: its exit status, or 128+n for signal n. None: that is not known."""
        status = self._left.status(number) if self._left is not None else None
        code = None if status is None else os.waitstatus_to_exitcode(status)
        return 128 - code if code is not None and code < 0 else code

    def forget(self, assignment: Assignment, *, ended: bool) -> None:
        """Watch it no longer. ended: by its last process, and was not let go. Under the lock."""
        kept = self._kept.pop(assignment.id, None)
        if kept is None or self._left is None:
            return
        self._left.drop(assignment.id)
        self._last = time.monotonic()
        if ended and self._is_routed(assignment.cgroup):
            self._ended[assignment.id] = kept
            while len(self._ended) > _REMEMBERED:
                del self._ended[next(iter(self._ended))]

    def judge(self) -> None:
        """Look at those that were left, if any, under the lock, which is taken."""
        if self._left is None:
            return
        with lock(patient(self._tell)):
            for key in self._left.news():
                kept = self._kept.get(key)
                if kept is not None and not self._is_routed(kept.assignment.cgroup):
                    line = f"assignment {key} was let go by a forced cleanup"
                    self._tell(told_of(kept.assignment, line, NOTICE))
                elif kept is not None or (kept := self._late(key)) is not None:
                    self._judge(self._left, kept)

    def _late(self, key: int) -> _Kept | None:
        """An assignment that has ended, and whom others may have left since. Who was told of by a unit's may
        have been let go by a forced cleanup: then the route is gone."""
        kept = self._ended.get(key)
        if kept is None or kept.assignment.how != "unit" or self._is_routed(kept.assignment.cgroup):
            return kept
        return None

    def let_be(self, pid: int) -> None:
        """It was let go, alone of its assignment."""
        if self._left is not None:
            self._left.let_be(pid)

    def rest(self) -> float | None:
        """Have the kernel keep nobody, where nothing is assigned; in how many seconds to ask again.

        Not at once: that a cgroup is empty is heard of before who left it last.
        """
        if self._left is None or self._kept or self._rests:
            return None
        left = self._last + _LATE - time.monotonic()
        if left > 0:
            return left
        self._left.rest()
        self._ended.clear()
        self._rests = True
        return None

    def close(self) -> None:
        """Listen no longer."""
        if self._left is not None:
            self._left.close()

    def _judge(self, kernel: left.Left, kept: _Kept) -> None:
        own = self._mount.in_proc(self._path(kept.assignment.cgroup))

        def gone() -> list[Member]:
            found = []
            for one in kernel.members(kept.assignment.id):
                member = family.member(one.pid)
                if member is not None and member.began == one.began:
                    found.append(member)
            return outside(found, own, self._is_routed_process)

        if kept.strict:
            told: set[tuple[int, int]] = set()  # who is ended is there for a moment yet
            named = end_all(gone, lambda some: self._name(kept, some, told, ended=True))
        else:
            some = gone()
            named = self._name(kept, some, set(), ended=False)
            for member in some:
                kernel.let_be(member.pid)  # from now on it is a bystander
        target = self._path(kept.assignment.cgroup).parent
        of_user = user_managers.owner(target) is not None
        # A unit in place is in no slice of ours: that of its route is what helps.
        slice_ = slice_of(kept.assignment.route) if kept.assignment.in_place else target.name
        for hint in dict.fromkeys(remedy(m.cgroup, slice_, of_user=of_user) for m in named):
            self._tell(f"hint: {hint}")

    def _name(
        self, kept: _Kept, some: Collection[Member], told: set[tuple[int, int]], *, ended: bool
    ) -> list[Member]:
        news = report(some, told)
        for member, followers in news:
            told.add((member.pid, member.began))
            what = f"{went(member, followers)}{ENDED if ended else ''}"
            line = f"assignment {kept.assignment.id} ({kept.assignment.route}): {what}"
            self._tell(told_of(kept.assignment, line, WARNING, pid=member.pid))
            self._said(
                Left(
                    at=time.time(),
                    assignment=kept.assignment,
                    process=Process(member.pid, name_of(member.pid)),
                    followers=followers,
                    cgroup=member.cgroup,
                    ended=ended,
                )
            )
        return [member for member, _ in news]

    def _path(self, cgroup: str) -> Path:
        return self._mount.path / cgroup.lstrip("/")

    def _is_routed(self, cgroup: str) -> bool:
        return records.within_target(self._mount.path, cgroup)

    def _is_routed_process(self, cgroup: str) -> bool:
        below = self._mount.below(cgroup)
        return below is not None and self._is_routed(below)
