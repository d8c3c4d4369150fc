"""Which assignments there are: remembered, watched for their end, and told of to who asks or listens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from procroute.core.access import Peer, may_see, of_another
from procroute.core.asking import options_of
from procroute.core.unit_names import slice_of
from procroute.daemon import log_words
from procroute.daemon.endings import Endings
from procroute.daemon.found import how_of, unknown_in
from procroute.daemon.leavers import Leavers
from procroute.daemon.ledger import Ledger
from procroute.daemon.routes import OpenRoute, Routes, leaves_by
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, in_place, records
from procroute.kernel.linux import Linux
from procroute.kernel.pinned import Known
from procroute.kernel.process_facts import WORDS, command_of, facts, name_of
from procroute.protocol import Added, Assignment, Event, How, Process, Removed, Why
from procroute.terminal import printable
from procroute.user_names import spoken

Watch = Callable[[int, Path | None], None]


class Register:
    """Used from one thread; under the lock, but for what says otherwise.

    said: takes each event. watch: told of each cgroup that has to be watched for its last process, by a key:
    the id of an assignment, or the negative number of a route; with None, no longer.
    """

    def __init__(
        self,
        linux: Linux,
        routes: Routes,
        tell: Tell,
        said: Callable[[Event], None],
        watch: Watch,
        leavers: Leavers,
    ) -> None:
        self._linux = linux
        self._routes = routes
        self._tell = tell
        self._ledger = Ledger(tell)
        self._said = said
        self.watch = watch
        self._leavers = leavers
        self._endings = Endings(leavers, tell)
        self._routes_watched: dict[int, OpenRoute] = {}

    def __len__(self) -> int:
        return len(self._ledger)

    def adopt(self) -> None:
        """Take over what is there: an earlier daemon's, and of runs with engines of their own."""
        self._ledger.load(
            lambda one: os.path.exists(f"{self._linux.mount}{one.cgroup}") and self._is_as_noted(one)
        )
        self._list_anew()
        self.take_in()
        for assignment in self._ledger:
            self._watch(assignment)

    def take_in(self) -> None:
        """Learn of what others have put on routes: runs with an engine of their own, units in our slices."""
        for found in self._routes.adopt():
            self.watch_route(found)
        for found, targets in self._routes.with_paths():
            for target in targets:
                for place in unknown_in(target, self.cgroup(target), self._ledger.at):
                    if cgroups.populated(place):
                        self._take(found, place)

    def watch_route(self, found: OpenRoute) -> None:
        """Watch a route for its last process, unless that is so: each start by it asks."""
        number = found.live.number
        if self._routes_watched.get(number) is not found:
            self._routes_watched[number] = found
            self.watch(-number, found.path)

    def unwatch_route(self, found: OpenRoute) -> None:
        """Watch a route no longer."""
        self._routes_watched.pop(found.live.number, None)
        self.watch(-found.live.number, None)

    def next_id(self, *, later: bool = False) -> int:
        """An id that was never given before. later: see Ledger."""
        return self._ledger.next_id(later=later)

    def note(
        self,
        found: OpenRoute,
        number: int,
        path: Path,
        *,
        how: How,
        owner: int,
        by: int,
        command: str,
        rule: str = "",
    ) -> Assignment:
        """A new assignment. number: its id; path: its cgroup. Raises OSError."""
        whole = records.named(path)
        assignment = Assignment(
            id=number,
            route=found.live.route.name,
            adapter=leaves_by(found.live),
            how=how,
            owner=owner,
            by=by,
            cgroup=self.cgroup(path),
            origin=self.cgroup(path) if whole else cgroups.origin(path),
            in_place=whole,
            since=time.time(),
            command=command[:WORDS],
            rule=rule,
            options=options_of(found.live.route),
        )
        self._ledger.add(assignment)
        self._watch(assignment)
        self._said(Added(at=assignment.since, assignment=assignment))
        asked = f" {printable(rule)}" if rule else "" if by == owner else f", asked for by {spoken(by)}"
        self._tell(f"{log_words.about(assignment)} ({how}{asked}): {log_words.program(path, command)}")
        return assignment

    def switched(self, route: str, adapter: str) -> None:
        """A route leaves by another adapter; empty: by the machine's own way. Raises OSError."""
        for assignment in self._ledger:
            if assignment.route == route and assignment.adapter != adapter:
                self._ledger.add(replace(assignment, adapter=adapter))

    def expect(self, assignment: Assignment, first: Known) -> None:
        """Have its `removed` event tell how it ended, by the status of this process."""
        self._endings.expect(assignment.id, self.path(assignment.cgroup), first)

    def forget(self, assignment: Assignment, why: Why, by: int | None = None) -> None:
        """The end of one; its cgroup goes where nobody is in it. by: the uid that let it go.

        What cannot be removed now goes with the route, or at the next start.
        """
        path = self.path(assignment.cgroup)
        self.watch(assignment.id, None)
        ending = self._endings.of(assignment.id, path)
        self._leavers.forget(assignment, ended=why == "ended")
        with self._going_on(assignment.id):
            self._ledger.remove(assignment.id)
        with self._going_on(assignment.id):
            if assignment.in_place:
                self._linux.let_be(path)
            elif path.exists() and not cgroups.populated(path):
                self._linux.placement.end(path)
        self._said(Removed(at=time.time(), assignment=assignment, why=why, ending=ending))
        self._tell(f"{log_words.about(assignment)}: {why}{'' if by is None else f' by {spoken(by)}'}")

    def end_with(self, number: int) -> None:
        """The end of all on a route that has no process any more and is about to be closed.

        Of some it may not have been heard yet that they are empty.
        """
        for assignment in self._ledger:
            if self.number(assignment) == number:
                self.forget(assignment, "ended")

    def ended(self) -> list[Assignment]:
        """Those without a process. Takes no lock."""
        return [a for a in self._ledger if not self.lives(a)]

    def lives(self, assignment: Assignment) -> bool:
        """Whether it has a process. Takes no lock."""
        return cgroups.populated(self.path(assignment.cgroup)) and self._is_as_noted(assignment)

    def _is_as_noted(self, assignment: Assignment) -> bool:
        """Not so where a unit in place was started anew: its cgroup is another one, and no target."""
        return not assignment.in_place or records.named(self.path(assignment.cgroup))

    def rules_moved(self, places: Mapping[str, str]) -> None:
        """Assignments by rules that stood at these places are of the others. Raises OSError."""
        for one in self._ledger:
            if one.rule in places:
                self._ledger.add(replace(one, rule=places[one.rule]))

    def let_be(self, pid: int) -> None:
        """A process has left its assignment on purpose: it is a bystander."""
        self._leavers.let_be(pid)

    def superseded(self, place: Path) -> None:
        """What was in place there is not any more: it has got another route."""
        before = self._ledger.at(self.cgroup(place))
        if before is not None:
            self.watch(before.id, None)
            self._endings.of(before.id, place)
            self._leavers.forget(before, ended=False)
            self._ledger.remove(before.id)
            self._said(Removed(at=time.time(), assignment=before, why="released"))
            self._tell(f"{log_words.about(before)}: gets another route")

    def get(self, number: int) -> Assignment | None:
        """The assignment of an id. Takes no lock."""
        return self._ledger.get(number)

    def at(self, cgroup: str) -> Assignment | None:
        """The assignment whose cgroup, from the mount point, is this one. Takes no lock."""
        return self._ledger.at(cgroup)

    def of_id(self, peer: Peer, number: int) -> Assignment:
        """The assignment of an id, for who may change it. Raises ProcrouteError."""
        found = self._ledger.get(number)
        if found is None:
            raise _unknown(f"there is no assignment {number}")
        return _checked(peer, found)

    def of_pid(self, peer: Peer, pid: int) -> Assignment:
        """The assignment that a process is in, for who may change it. Raises ProcrouteError."""
        try:
            cgroup = cgroups.current(self._linux.mount, pid)
        except OSError:
            raise ProcrouteError(
                "process-unknown", f"there is no process {pid}", "ps(1) lists them"
            ) from None
        found = self.around(cgroup)
        if found is None:
            raise _unknown(f"process {pid} is in no assignment")
        return _checked(peer, found)

    def origin(self, pid: int) -> str:
        """Where a process returns to: its cgroup, or where it was before it was assigned the last time.

        Raises ProcrouteError process-unknown.
        """
        try:
            return self.origin_of(self._linux.cgroup_mount.of(pid))
        except OSError:
            raise ProcrouteError("process-unknown", f"process {pid} has ended", "ps(1) lists them") from None

    def origin_of(self, cgroup: str) -> str:
        """Where who is in a cgroup, named from the mount point, returns to; that itself, if it is no
        assignment's."""
        before = self.around(cgroup)
        return cgroup if before is None or before.in_place else cgroups.origin(self.path(before.cgroup))

    def around(self, cgroup: str) -> Assignment | None:
        """The assignment whose cgroup, from the mount point, this is, or lies in. Takes no lock."""
        around = map(self._ledger.at, (cgroup, *map(str, Path(cgroup).parents)))
        return next((found for found in around if found is not None), None)

    def now_around(self, cgroup: str) -> Assignment | None:
        """The same, but for units in place that were started anew meanwhile, which is not heard of yet."""
        found = self.around(cgroup)
        return found if found is not None and self._is_as_noted(found) else None

    def number(self, assignment: Assignment) -> int:
        """Of its route; 0: that has gone."""
        found = self._route(assignment)
        return 0 if found is None else found.live.number

    def _route(self, assignment: Assignment) -> OpenRoute | None:
        within = slice_of(assignment.route) if assignment.in_place else assignment.cgroup.split("/")[-2]
        return self._routes.of_targets(within)

    def path(self, cgroup: str) -> Path:
        """Where a cgroup is, of whose name from the mount point this is."""
        return self._linux.mount / cgroup.lstrip("/")

    def cgroup(self, path: Path) -> str:
        """The name from the mount point."""
        return f"/{path.relative_to(self._linux.mount)}"

    def known(self) -> list[Assignment]:
        """Every assignment, as it is remembered. Takes no lock."""
        return list(self._ledger)

    def shown(self, peer: Peer) -> Iterator[Assignment]:
        """The same as somebody may see it. Takes no lock."""
        return (self.shown_one(peer, one) for one in self._ledger)

    def shown_one(self, peer: Peer, assignment: Assignment) -> Assignment:
        """With its processes; without what only its owner and root may see. Takes no lock."""
        pids = sorted({pid for pid, _ in cgroups.processes(self.path(assignment.cgroup))})
        if not may_see(peer, assignment.owner):
            return replace(of_another(assignment), processes=[Process(pid) for pid in pids])
        return replace(assignment, processes=[Process(p, name_of(p), command_of(p)) for p in pids])

    def tidy(self) -> None:
        """Remove what could not be removed before. Takes no lock. Raises OSError."""
        self._ledger.remove_stale()

    def close(self) -> int:
        """The end of the daemon; how many stay."""
        self._endings.close()
        self._ledger.close()
        return len(self._ledger)

    @contextmanager
    def _going_on(self, number: int) -> Iterator[None]:
        try:
            yield
        except (ProcrouteError, OSError) as e:
            self._tell(f"what is left of assignment {number} could not be removed: {e}")

    def _watch(self, assignment: Assignment) -> None:
        """For its last process, and for who leaves it."""
        path = self.path(assignment.cgroup)
        self.watch(assignment.id, path)
        found = self._route(assignment)
        self._leavers.note(assignment, path, strict=found is not None and found.live.route.strict)

    def _take(self, found: OpenRoute, place: Path) -> None:
        first = next((pid for pid, _ in cgroups.processes(place) if pid), 0)
        known = facts(first)
        owner = known.uids[0] if known else 0
        command = " ".join(command_of(first))
        how = "assign" if records.named(place) else how_of(place, first)
        self.note(found, self.next_id(), place, how=how, owner=owner, by=owner, command=command)

    def _list_anew(self) -> None:
        """Take in again what is in place and what the target of its route does not tell of, or has gone."""
        linux = self._linux
        linux.find_targets()
        listed = {target.path for target in linux.further_targets()}
        for one in in_place.everywhere(linux.mount, linux.namespace):
            if one.path not in listed and one.identity == linux.identity:
                try:
                    self._routes.revive(one.live)
                    linux.list_in_place(one.live.number, one.path)
                except ProcrouteError as e:
                    self._tell(f"/{one.path.relative_to(linux.mount)} is not cared for any more: {e}")


def _checked(peer: Peer, found: Assignment) -> Assignment:
    if not may_see(peer, found.owner):
        raise ProcrouteError(
            "not-permitted",
            f"assignment {found.id} is of {spoken(found.owner)}",
            "you may let your own processes go; root may let all",
        )
    return found


def _unknown(what: str) -> ProcrouteError:
    return ProcrouteError("assignment-unknown", what, "procroute ps lists them")
