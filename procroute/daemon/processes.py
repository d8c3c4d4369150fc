"""The processes of the machine while somebody watches them: by the kernel's news, else by looking at /proc.

Each is looked at once, and again on news of it. Without BPF everybody is looked at about once a second; where
the kernel does not tell who becomes another user, those are who could.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

from procroute.core.census import Census, Difference, Life, Seen
from procroute.kernel import cgroup_mount, lives
from procroute.kernel.living import everybody, living, user_of
from procroute.kernel.placement import placement

PAUSE: Final = 0.15
"""So many seconds news are left to come together: who was born and ended meanwhile is not looked at."""
_SECOND: Final = 1.0
_OF_THE_TIME: Final = 10, 50
"""Looking without news takes one part in so many of the time: at everybody, at who could be another user."""


class Processes:
    """Used from one thread. `fileno` may be polled in another one between `begin` and `end`."""

    def __init__(self) -> None:
        self._lives: lives.Lives | None = None
        self._census: Census | None = None
        self._due: float | None = None
        self._missed = False  # some news, until everybody has been looked at

    def begin(self, assignments: Mapping[str, int]) -> Collection[Seen]:
        """Everybody, as they were told of last; looked at if nobody watches yet.

        assignments: cgroup, from the mount point, to id. Raises OSError and ProcrouteError.
        """
        if self._census is None:
            mount = cgroup_mount.find()
            census = Census(mount.below, units=placement(mount.path).by_systemd)
            census.assign(dict(assignments))
            self._lives = lives.listen()  # first: who comes from now on is told
            try:
                self._look_at_everybody(census)
            except BaseException:
                self.end()
                raise
            self._census = census
        return list(self._census.people)

    def end(self) -> None:
        """Nobody watches any more: nothing is hooked, nothing is kept."""
        if self._lives is not None:
            self._lives.close()
        self._lives = self._census = self._due = None
        self._missed = False

    def fileno(self) -> int | None:
        """Readable when there is news; None: the kernel does not tell."""
        return None if self._lives is None else self._lives.fileno()

    def again(self) -> float | None:
        """In how many seconds to look without news; None: not at all."""
        if self._census is None:
            return None
        waits = [PAUSE] if self._census.restless or self._missed else []
        if self._due is not None:
            waits.append(max(PAUSE, self._due - time.monotonic()))
        return min(waits, default=None)

    def look(self) -> Difference:
        """What differs from what was told. Raises OSError."""
        census = self._census
        if census is None:
            return Difference()
        told = self._lives.read() if self._lives is not None else None
        if told is None or self._missed:
            self._missed = True
            return self._look_at_everybody(census)
        began = time.monotonic()
        if self._due is not None and began >= self._due:
            told += _others_by_now(census.people)
            self._wait(began, _OF_THE_TIME[1])
        census.hear(told)
        return census.take({pid: living(pid) for pid in census.due()})

    def assign(self, assignments: Mapping[str, int]) -> Difference:
        """The assignments that there are now, as of `begin`."""
        return Difference() if self._census is None else self._census.assign(dict(assignments))

    def _look_at_everybody(self, census: Census) -> Difference:
        began = time.monotonic()
        difference = census.look_anew(everybody())
        self._missed = False
        self._wait(began, _OF_THE_TIME[0])
        return difference

    def _wait(self, began: float, part: int) -> None:
        """Have a look that was begun then done again, unless there is no need to."""
        if self._lives is None or not self._lives.tells_users:
            now = time.monotonic()
            self._due = now + max(_SECOND, part * (now - began))


def _others_by_now(people: Collection[Seen]) -> list[Life]:
    """Who is another user than before, of those who could become one: partly root, or of several."""
    found = []
    for seen in people:
        if 0 in seen.uids or len(set(seen.uids)) > 1:
            pid, now = seen.running.pid, user_of(seen.running.pid)
            if now is not None and now != seen.uids:
                found.append(Life(pid, seen.running.began))
    return found
