"""Which processes there are, and what differs from what was told of them: news and facts in, differences out.

    census = Census(below, units=True)
    census.look_anew(everybody)
    census.hear(lives)                                        # of the kernel: numbers, and no more
    difference = census.take({pid: living(pid) for pid in census.due()})

A process is known by its number and its start time. What was born and has ended by the time that somebody
looks was never there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.access import Peer
from procroute.core.unit_names import unit_of
from procroute.protocol import Running

_PIECE: Final = 1 << 24
_OF_ONE: Final = 256
_MOST_OF_A_LETTER: Final = 6
"""Bytes of JSON: of a piece, of a process without its words, of a letter of these (\\u0001)."""


class Life(Struct, frozen=True):
    """News of a process: it was born or has become another, or has ended. began: clock ticks since boot."""

    pid: int
    began: int
    ended: bool = False


class Living(Struct, frozen=True):
    """A process as /proc has it. uids: real, effective, saved. cgroup: as /proc calls it."""

    pid: int
    began: int
    parent: int
    uids: tuple[int, int, int]
    name: str
    command: list[str]
    cgroup: str


class Seen(Struct, frozen=True):
    """A process as it is told of, and whose it is."""

    running: Running
    uids: tuple[int, int, int]


class Difference(Struct, frozen=True):
    """now: those that are new or other than before, each with what it was; gone: those that have ended."""

    now: Collection[tuple[Seen | None, Seen]] = ()
    gone: Collection[Seen] = ()

    def __bool__(self) -> bool:
        return bool(self.now or self.gone)


class Census:
    """below: where a cgroup of that name in /proc is, from the mount point; None: not seen there.

    units: the tree of cgroups is systemd's.
    """

    def __init__(self, below: Callable[[str], str | None], *, units: bool) -> None:
        self._below = below
        self._units = units
        self._assignments: Mapping[str, int] = {}
        self._people: dict[int, Seen] = {}
        self._due: set[int] = set()
        self._ended: dict[int, int] = {}

    @property
    def people(self) -> Collection[Seen]:
        """Everybody, as they were told of last."""
        return self._people.values()

    @property
    def restless(self) -> bool:
        """Whether somebody is to be looked at without news: whose parent has ended, and is it still."""
        return bool(self._due)

    def hear(self, lives: Iterable[Life]) -> None:
        """Take in news, in their order."""
        for life in lives:
            if not life.ended:
                self._due.add(life.pid)
                continue
            self._due.discard(life.pid)
            self._ended[life.pid] = life.began

    def due(self) -> list[int]:
        """The numbers of who has to be looked at."""
        gone = {pid for pid, began in self._ended.items() if self._is(pid, began)}
        # Of another start time than was told: something was missed, /proc knows.
        self._due |= {pid for pid in self._ended if pid in self._people and pid not in gone}
        return sorted(self._due | (self._children(gone) - gone))

    def take(self, looked_at: Mapping[int, Living | None]) -> Difference:
        """Who was due, as they are; None: nobody has that number. What differs from what was told."""
        before = dict(self._people)
        ended = {pid for pid, began in self._ended.items() if self._is(pid, began)}
        for pid in ended:
            del self._people[pid]
        for pid, found in looked_at.items():
            if found is None:
                self._people.pop(pid, None)
            else:
                self._people[pid] = self._seen(found)
        self._ended.clear()
        self._due = self._children(before.keys() - self._people.keys())
        return self._since(before)

    def look_anew(self, everybody: Iterable[Living]) -> Difference:
        """Everybody as they are, whatever was heard."""
        before = self._people
        self._people = {found.pid: self._seen(found) for found in everybody}
        self._ended.clear()
        self._due.clear()
        return self._since(before)

    def assign(self, assignments: Mapping[str, int]) -> Difference:
        """The assignments that there are now: cgroup, from the mount point, to id."""
        self._assignments = assignments
        before = dict(self._people)
        for pid, seen in before.items():
            found = self._assignment(seen.running.cgroup)
            if found != seen.running.assignment:
                self._people[pid] = replace(seen, running=replace(seen.running, assignment=found))
        return self._since(before)

    def _is(self, pid: int, began: int) -> bool:
        known = self._people.get(pid)
        return known is not None and known.running.began == began

    def _children(self, parents: Collection[int]) -> set[int]:
        """Who has one of these parents, and gets another one."""
        if not parents:
            return set()
        return {pid for pid, seen in self._people.items() if seen.running.parent in parents}

    def _since(self, before: Mapping[int, Seen]) -> Difference:
        now = [
            (before.get(pid), seen)
            for pid, seen in self._people.items()
            if (was := before.get(pid)) is not seen and was != seen
        ]
        return Difference(now, [seen for pid, seen in before.items() if pid not in self._people])

    def _seen(self, found: Living) -> Seen:
        cgroup = self._below(found.cgroup) or "/"
        running = Running(
            pid=found.pid,
            began=found.began,
            parent=found.parent,
            user=found.uids[0],
            name=found.name,
            command=found.command,
            cgroup=cgroup,
            unit=unit_of(cgroup) if self._units else "",
            assignment=self._assignment(cgroup),
        )
        return Seen(running, found.uids)

    def _assignment(self, cgroup: str) -> int:
        """The id of the assignment whose cgroup this is, or lies in; 0: none."""
        while cgroup:
            if (found := self._assignments.get(cgroup)) is not None:
                return found
            cgroup = cgroup.rpartition("/")[0]
        return 0


def shown(seen: Seen, peer: Peer, *, hidden: bool) -> Running | None:
    """A process as somebody may see it: another's without its command line; None: not at all.

    hidden: this machine shows users their own only (proc(5), hidepid).
    """
    if peer.is_root or set(seen.uids) == {peer.uid}:
        return seen.running
    return None if hidden else replace(seen.running, command=[])


def pieces(people: Iterable[Running]) -> Iterator[list[Running]]:
    """The same in pieces that each fit into a frame, whatever these are called; at least one."""
    piece: list[Running] = []
    weight = 0
    for one in people:
        words = sum(map(len, (one.name, one.cgroup, one.unit, *one.command))) + len(one.command)
        its = _MOST_OF_A_LETTER * words + _OF_ONE
        if piece and weight + its > _PIECE:
            yield piece
            piece, weight = [], 0
        piece.append(one)
        weight += its
    yield piece


def told(difference: Difference, peer: Peer, *, hidden: bool) -> tuple[list[Running], list[int]]:
    """What somebody is told of a difference: who is as now, and the numbers of those that have ended.

    Who is not for him to see any more has ended for him.
    """
    now, gone = [], []
    for before, seen in difference.now:
        running = shown(seen, peer, hidden=hidden)
        if running is not None:
            if before is None or running != shown(before, peer, hidden=hidden):
                now.append(running)
        elif before is not None and shown(before, peer, hidden=hidden) is not None:
            gone.append(seen.running.pid)
    gone += [s.running.pid for s in difference.gone if shown(s, peer, hidden=hidden) is not None]
    return now, gone
