"""Which assignments there are: noted, watched for their end, forgotten, and told of to who listens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from procroute.core.asking import options_of
from procroute.core.route_names import named
from procroute.daemon import log_words
from procroute.daemon.endings import Endings
from procroute.daemon.found import how_of, unknown_in
from procroute.daemon.leavers import Leavers
from procroute.daemon.remembered import Remembered
from procroute.daemon.routes import OpenRoute, Routes, leaves_by
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, in_place
from procroute.kernel.linux import Linux
from procroute.kernel.pinned import Known
from procroute.kernel.process_facts import WORDS, command_of, facts
from procroute.protocol import Added, Assignment, Event, How, Removed, Why
from procroute.terminal import printable
from procroute.user_names import spoken

Watch = Callable[[int, Path | None], None]


class Register(Remembered):
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
        super().__init__(linux, routes, tell)
        self._tell = tell
        self._said = said
        self.watch = watch
        self._leavers = leavers
        self._endings = Endings(leavers, tell)
        self._routes_watched: dict[int, OpenRoute] = {}

    def adopt(self) -> None:
        """Take over what is there: an earlier daemon's, and of runs with engines of their own."""
        self._ledger.load(
            lambda one: os.path.exists(f"{self._linux.mount}{one.cgroup}") and self._is_as_noted(one)
        )
        self._list_anew()
        self.take_in()
        for found in self._routes.all():  # it may have switched since the ledger was written
            self.switched(found.live.route.name, leaves_by(found.live))
        self.name_anew()
        for assignment in self._ledger:
            self._watch(assignment)

    def name_anew(self) -> None:
        """Call routes as the configuration does now. Raises OSError."""
        for one in self._ledger:
            found = self._route(one)
            name = named(found.live.route, self._routes.settings.route) if found is not None else one.named
            if name != one.named:
                self._ledger.add(replace(one, named=name))

    def take_in(self) -> None:
        """Learn of what others have put on routes: runs with an engine of their own, units in our slices."""
        for found in self._routes.adopt():
            self.watch_route(found)
        for found, targets in self._routes.with_paths():
            for target in targets:
                for place in unknown_in(target, self.cgroup(target), self._ledger.at):
                    if cgroups.populated(place):
                        self._take(found, place, whole=place == target)

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
        in_place: bool = False,
    ) -> Assignment:
        """A new assignment. number: its id; path: its cgroup; in_place: that is a unit's own, which may have
        been started anew by now. Raises OSError."""
        assignment = Assignment(
            id=number,
            route=found.live.route.name,
            adapter=leaves_by(found.live),
            how=how,
            owner=owner,
            by=by,
            cgroup=self.cgroup(path),
            origin=self.cgroup(path) if in_place else cgroups.origin(path),
            in_place=in_place,
            since=time.time(),
            command=command[:WORDS],
            rule=rule,
            options=options_of(found.live.route),
            named=named(found.live.route, self._routes.settings.route),
        )
        self._ledger.add(assignment)
        self._watch(assignment)
        self._said(Added(at=assignment.since, assignment=assignment))
        asked = f" {printable(rule)}" if rule else "" if by == owner else f", asked for by {spoken(by)}"
        pids = log_words.pids_in(path)
        line = f"{log_words.about(assignment)} ({how}{asked}): {log_words.program(pids, command)}"
        self._tell(log_words.told_of(assignment, line, pid=next(iter(pids), None)))
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
            elif assignment.how == "unit":
                pass  # its manager made it, and may be about to start its next process
            elif path.exists() and not cgroups.populated(path):
                self._linux.placement.end(path)
        self._said(Removed(at=time.time(), assignment=assignment, why=why, ending=ending))
        line = f"{log_words.about(assignment)}: {why}{'' if by is None else f' by {spoken(by)}'}"
        self._tell(log_words.told_of(assignment, line))

    def end_with(self, number: int) -> None:
        """The end of all on a route that has no process any more and is about to be closed.

        Of some it may not have been heard yet that they are empty.
        """
        for assignment in self._ledger:
            if self.number(assignment) == number:
                self.forget(assignment, "ended")

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
            self._tell(log_words.told_of(before, f"{log_words.about(before)}: gets another route"))

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

    def _take(self, found: OpenRoute, place: Path, *, whole: bool) -> None:
        first = next((pid for pid, _ in cgroups.processes(place) if pid), 0)
        known = facts(first)
        owner = known.uids[0] if known else 0
        command = " ".join(command_of(first))
        how = "assign" if whole else how_of(place, first)
        number = self.next_id()
        self.note(found, number, place, how=how, owner=owner, by=owner, command=command, in_place=whole)

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
