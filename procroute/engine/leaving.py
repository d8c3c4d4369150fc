"""Find what of a command has left its route by another cgroup: a manager moved it, or it moved itself.

Its sockets from then on are those of a bystander. Who left is named; with --strict it is ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from procroute.core.leaving import Member, outside, remedy, report
from procroute.engine.ending import ENDED, end_all, went
from procroute.engine.lock import BusyError, Pause, at_once, lock, release_directory
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroup_mount, cgroups, family, moves, records, released, user_managers

# All in seconds. A look comes so long after the news, to take several in one; so long at least lies between
# two, and so many times as long as one took, that a machine where many are moved spends little on looking.
_PAUSE: Final = 0.01
_BETWEEN: Final = 0.1
_TIMES: Final = 9
_BETWEEN_AT_MOST: Final = 1.0
# Without news of moves. With them: a child may be born in another cgroup (clone(2), CLONE_INTO_CGROUP), and
# that is no move.
_WITHOUT_NEWS: Final = 2.0
_WITH_NEWS: Final = 10.0
_LOCKED: Final = 0.05


class Leaving:
    """Watches the descendants of this process, and of those in an assignment.

    mount: where cgroup v2 is. tell: says a line to the person at the terminal.
    """

    def __init__(
        self,
        mount: Path,
        assignment: Path,
        tell: Tell,
        *,
        strict: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mount = mount
        self._assignment = assignment
        self._tree = cgroup_mount.at(mount)
        self._own = self._tree.in_proc(assignment)
        self._strict = strict
        self._tell = tell
        self._clock = clock
        self._moves = moves.listen()
        self._next = clock()
        self._due = clock() + _PAUSE
        self._told: set[tuple[int, int]] = set()
        self._left: dict[int, Member] = {}
        self._released = False
        released.forget(assignment)

    def filenos(self) -> list[int]:
        """For poll(2): readable when something was moved."""
        return [self._moves.fileno()] if self._moves else []

    def close(self) -> None:
        """Watch no longer."""
        if self._moves:
            self._moves.close()
            self._moves = None

    def timeout(self) -> int:
        """Milliseconds until there is something to do."""
        return max(0, round((self._due - self._clock()) * 1000) + 1)

    def work(self) -> None:
        """Take in the news and look, when it is time."""
        now = self._clock()
        if self._moves and self._moves.read():
            self._due = min(self._due, max(now + _PAUSE, self._next))
        if now < self._due:
            return
        self._due = now + (_WITH_NEWS if self._moves else _WITHOUT_NEWS)
        left = self._outside()
        self._next = now + min(max(_BETWEEN, _TIMES * (self._clock() - now)), _BETWEEN_AT_MOST)
        if left and (self._strict or report(left, self._told)):
            try:
                with lock(at_once):
                    self._judge()
                    release_directory()
            except BusyError:
                # A cleanup may be at work, that moves them on purpose.
                self._due = now + _LOCKED
            except (ProcrouteError, OSError) as e:
                self._tell(f"what left the route could not be looked at: {e}")

    def finish(self, pause: Pause) -> None:
        """Look once more, when nothing of the assignment runs any more. pause: lets so many seconds pass."""
        if self._outside():
            with lock(pause):
                self._judge()

    def _judge(self) -> None:
        # A cleanup let them all go. The assignment tells nothing: systemd ends a scope that is empty.
        if self._released:
            return
        if not records.named(self._assignment.parent):
            self._released = True
            self._tell(
                "a forced cleanup took the route away: what lives of it goes on by the machine's own way"
            )
            return
        if released.is_noted(self._assignment):
            self._released = True
            self._tell("it was released: what lives of it goes on by the machine's own way")
            return
        news = (
            end_all(self._outside, lambda left: self._name(left, ENDED))
            if self._strict
            else self._name(self._outside(), "")
        )
        name, of_user = self._assignment.parent.name, user_managers.owner(self._assignment) is not None
        for hint in dict.fromkeys(remedy(m.cgroup, name, of_user=of_user) for m in news):
            self._tell(f"hint: {hint}")

    def _name(self, left: Collection[Member], what: str) -> list[Member]:
        """Name those that left, once each; those that were named."""
        news = report(left, self._told)
        for member, followers in news:
            self._told.add((member.pid, member.began))
            self._tell(f"{went(member, followers)}{what}")
        return [member for member, _ in news]

    def _outside(self) -> list[Member]:
        left = outside(self._members(), self._own, self._routed)
        self._left = {m.pid: m for m in left}
        return left

    def _routed(self, cgroup: str) -> bool:
        below = self._tree.below(cgroup)
        return below is not None and records.within_target(self._mount, below)

    def _members(self) -> Iterator[Member]:
        """All that descends from us, from the assignment's processes, or from what left it earlier."""
        inside = {pid for pid, _ in cgroups.processes(self._assignment) if pid}
        earlier = {
            pid
            for pid, known in self._left.items()
            if (found := family.member(pid)) is not None and found.began == known.began
        }
        for pid in {*earlier, *family.descendants({os.getpid(), *inside, *earlier})} - inside:
            found = family.member(pid)
            if found is not None:
                yield found
