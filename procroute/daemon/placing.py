"""Puts processes on routes: the asker itself (run), or some that run already (assign)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from procroute.core.access import Asked, Peer, check_route
from procroute.core.front_ends import advice
from procroute.core.machine import Machine
from procroute.core.moved import dns_words, total
from procroute.core.unit_names import slice_of
from procroute.daemon import subjects, whole_units
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.register import Register
from procroute.daemon.routes import OpenRoute, Routes
from procroute.daemon.whole_units import WholeUnit
from procroute.engine.gather import around, gather
from procroute.engine.lock import lock, patient
from procroute.engine.membership import let_out
from procroute.engine.move import follow
from procroute.engine.open_sockets import Ahead
from procroute.engine.reconcile import reconcile
from procroute.engine.settle import not_undone
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, family, resolvers, unit_cgroups, user_managers
from procroute.kernel.linux import Linux
from procroute.kernel.lookup_daemons import asked_by
from procroute.kernel.pinned import Known, pinned
from procroute.kernel.placement import Newcomer
from procroute.kernel.process_facts import Facts, command_of
from procroute.model import Marks
from procroute.protocol import Assign, Assigned, Assignment, How, Moved, Placed, Run, Wanted


class Entered(Struct, frozen=True):
    """A process in a cgroup of its own on a route. number: the id of what is to be its assignment."""

    number: int
    path: Path
    owner: int


class Placing:
    """Whether somebody may have what he asks for is decided here, from what the kernel says of processes
    that are pinned by then. Takes the lock itself."""

    def __init__(
        self, linux: Linux, routes: Routes, register: Register, letting_go: LettingGo, tell: Tell
    ) -> None:
        self._linux = linux
        self._routes = routes
        self._register = register
        self._letting_go = letting_go
        self._tell = tell

    def run(self, peer: Peer, asked: Run) -> Placed:
        """Put the asker itself on a route. Raises ProcrouteError."""
        (who,) = subjects.checked(peer, [peer.pid])
        if who.began != peer.began:
            raise ProcrouteError("process-unknown", "whoever asked has ended")
        with lock(patient(self._tell)):
            found, notes = self.opened(peer, asked.route)
            command = asked.command or [who.name]
            known = advice(command, slice_of(found.live.route.name))
            if known.refuse:
                raise ProcrouteError("command-leaves", known.text, known.hint)
            if known.text:
                notes += [known.text, f"hint: {known.hint}"]
            assignment = self.placed(peer, found, who, "run", " ".join(command))
            if asked.ending:
                self._register.expect(assignment, Known(who.pid, who.began))
        return Placed(
            assignment=self._register.shown_one(peer, assignment),
            notes=notes,
            resolv_conf=resolvers.private(found.live),
        )

    def assign(self, peer: Peer, asked: Assign, rule: str = "", place: Path | None = None) -> Assigned:
        """Put processes that run already on a route. rule: that asks for it. place: the cgroup of the unit
        that is asked for; None: it is found by its name. Raises ProcrouteError; then none was moved."""
        if asked.unit and place is None:
            place = unit_cgroups.of_unit(self._linux.mount, asked.unit)
        who = subjects.checked(peer, dict.fromkeys(self._named(peer, asked, place)))
        with lock(patient(self._tell)):
            found, notes = self.opened(peer, asked.route)
            machine = Machine(adapters=adapters.read(self._linux.netlink))
            made: list[Assignment] = []
            moved = Moved()
            with self.undoing(made):
                whole, apart = self._whole_units(peer, asked, place, found, who)
                for unit in whole:
                    if self._followed(found, unit, notes):
                        moved = total(moved, self._in_place(peer, asked, found, unit, machine, made, rule))
                    else:
                        apart += unit.members
                together: dict[tuple[int, str], list[Facts]] = {}
                for one in apart:
                    together.setdefault((one.uids[0], self._register.origin(one.pid)), []).append(one)
                for some in together.values():
                    moved = total(moved, self._together(peer, asked, found, some, machine, notes, made, rule))
            shown = [self._register.shown_one(peer, assignment) for assignment in made]
        dns = dns_words(found.live, asked_by(who[0].pid))
        return Assigned(assignments=shown, moved=moved, dns=dns, notes=notes)

    def check(self, peer: Peer, wanted: Wanted) -> None:
        """Whether somebody may have a route. Raises ProcrouteError not-permitted."""
        access, meant = self._routes.settings.access, self._routes.meant(wanted)
        if not peer.is_root and access:
            for name in meant.via.split(","):
                check_route(access, peer, self._asked(wanted, name.strip()))

    def _named(self, peer: Peer, asked: Assign, place: Path | None) -> list[int]:
        if sum(map(bool, (asked.pids, asked.name, asked.unit))) > 1:
            raise ProcrouteError("usage", "processes were named in two ways", "give PIDs, --name or --unit")
        pids = [*asked.pids]
        if asked.name:
            pids += subjects.of_name(peer, asked.name)
        if place is not None:
            pids += subjects.of_unit(place)
        if not pids:
            raise ProcrouteError("usage", "no process was named", "give PIDs, --name or --unit")
        return pids

    def _whole_units(
        self, peer: Peer, asked: Assign, place: Path | None, found: OpenRoute, who: list[Facts]
    ) -> tuple[list[WholeUnit], list[Facts]]:
        """The units that can follow in place, and who of those that were named has to be moved.

        Not in place without BPF: nft would mark the packets of connections that are open.
        """
        live = found.live
        if not self._linux.placement.by_systemd or live.marks is Marks.PACKETS:
            return [], who
        wanted = whole_units.Wanted(who, asked.tree, place, live.route.strict)
        whole = whole_units.whole_units(self._linux.mount, peer, wanted)
        inside = {one.pid for unit in whole for one in unit.members}
        apart = [one for one in who if one.pid not in inside]
        if asked.tree:
            outside = set(family.descendants(inside)) - inside - {one.pid for one in apart}
            apart += subjects.checked(peer, sorted(outside))
        return whole, apart

    def _followed(self, found: OpenRoute, unit: WholeUnit, notes: list[str]) -> bool:
        """Have a unit follow in place; else `notes` says why it does not, and it follows no route."""
        self._register.superseded(unit.place)
        try:
            if not self._linux.follow_in_place(found.live.number, unit.place):
                reconcile(self._linux, self._linux.identity)
        except ProcrouteError as e:
            self._linux.let_be(unit.place)
            notes.append(f"{unit.place.name} cannot follow as a whole, so its processes move: {e}")
            return False
        return True

    def _in_place(
        self,
        peer: Peer,
        asked: Assign,
        found: OpenRoute,
        unit: WholeUnit,
        machine: Machine,
        made: list[Assignment],
        rule: str,
    ) -> Moved:
        """Note the assignment of a unit that follows in place, also in `made`; what became of its sockets."""
        command, owner = " ".join(command_of(unit.members[0].pid)), unit.owner
        try:
            number = self._register.next_id()
            assignment = self._register.note(
                found,
                number,
                unit.place,
                how="rule" if rule else "assign",
                owner=owner,
                by=peer.uid,
                command=command,
                rule=rule,
            )
        except BaseException:
            self._linux.let_be(unit.place)
            raise
        made.append(assignment)
        existing, servers = asked.existing, asked.servers
        return follow(
            self._linux.identity, found.live, unit.place, machine, existing=existing, servers=servers
        )

    def _together(
        self,
        peer: Peer,
        asked: Assign,
        found: OpenRoute,
        some: list[Facts],
        machine: Machine,
        notes: list[str],
        made: list[Assignment],
        rule: str,
    ) -> Moved:
        """Put processes of one user from one cgroup into an assignment, which is noted in `made`; what became
        of their sockets. rule: that asks for it, as people are told."""
        ahead = Ahead([one.pid for one in some], tree=asked.tree)
        before = around(some[0].pid) if asked.tree else {}
        how: How = "rule" if rule else "assign"
        assignment = self.placed(peer, found, some[0], how, " ".join(command_of(some[0].pid)), rule)
        made.append(assignment)
        path = self._register.path(assignment.cgroup)
        uid = None if peer.is_root else peer.uid
        known = [Known(f.pid, f.began) for f in some]
        gathered = gather(path, known, tree=asked.tree, uid=uid, before=before, likely=ahead.descendants)
        if not gathered.settled:
            notes.append("they fork faster than they can be followed: look again with procroute ps")
        notes += [f"{describe(other.pid)} is another user's and stays" for other in gathered.others]
        existing, servers = asked.existing, asked.servers
        return follow(
            self._linux.identity,
            found.live,
            path,
            machine,
            existing=existing,
            servers=servers,
            ahead=ahead,
            gathered=gathered,
            given=self._routes.marks_given(),
        )

    @contextmanager
    def undoing(self, made: list[Assignment]) -> Iterator[None]:
        """Where it fails within, what was made goes back; the error says who does not."""
        try:
            yield
        except BaseException as e:
            stay: list[Exception] = []
            for assignment in made:
                try:
                    self._letting_go.let_go(assignment)
                except (ProcrouteError, OSError) as more:
                    stay.append(more)
            if stay and isinstance(e, ProcrouteError | OSError):
                raise not_undone(e, stay[0], "see procroute ps", "procroute release lets them go") from e
            raise

    def opened(self, peer: Peer, wanted: Wanted) -> tuple[OpenRoute, list[str]]:
        """The route, if he may have it; under the lock. Raises ProcrouteError."""
        self.check(peer, wanted)
        found, notes = self._routes.open(self._routes.meant(wanted))
        self._register.watch_route(found)
        return found, notes

    def _asked(self, wanted: Wanted, via: str) -> Asked:
        named = (a for a in adapters.read(self._linux.netlink) if via in (a.name, *a.altnames))
        adapter = next(named, None)
        names = [via] if adapter is None else [adapter.name, *adapter.altnames]
        gateway = wanted.gateway4 is not None or wanted.gateway6 is not None
        return Asked(names, gateway=gateway, dns=bool(wanted.dns))

    def placed(
        self, peer: Peer, found: OpenRoute, who: Facts, how: How, command: str, rule: str = ""
    ) -> Assignment:
        """A new assignment for a process, which is in it then; under the lock. rule: that asks for it.

        Raises ProcrouteError and OSError.
        """
        origin = self._register.origin(who.pid)
        entered = self.entered(found, who, origin, how, command)
        try:
            return self.noted(peer, found, entered, how, command, rule)
        except BaseException as e:
            self._put_back(entered.path, e)
            raise

    def entered(self, found: OpenRoute, who: Facts, origin: str, how: How, command: str) -> Entered:
        """Have a process in a cgroup of its own on a route, which nobody knows of until it is `noted`.

        origin: where it returns to. Under the lock. Raises ProcrouteError and OSError.
        """
        owner = who.uids[0]
        # What runs in nobody's own part of the tree stays the system's, also under a user's uid.
        his = how == "run" or user_managers.tree_of(origin) == owner
        target = self._routes.target(found, owner if his else 0)
        number = self._register.next_id(later=True)
        name = f"run-{who.pid}" if how == "run" else f"{how}-{number}"
        described = f"procroute {how}: {command}"
        with pinned(Known(who.pid, who.began)) as pidfd:
            if pidfd is None:
                raise ProcrouteError("process-unknown", f"process {who.pid} has ended")
            path = self._linux.placement.place(target, Newcomer(who.pid, name, described, origin))
        return Entered(number, path, owner)

    def noted(
        self, peer: Peer, found: OpenRoute, entered: Entered, how: How, command: str, rule: str = ""
    ) -> Assignment:
        """The assignment of a process that has entered; under the lock. Raises OSError."""
        number, path, owner = entered.number, entered.path, entered.owner
        return self._register.note(
            found, number, path, how=how, owner=owner, by=peer.uid, command=command, rule=rule
        )

    def _put_back(self, path: Path, why: BaseException) -> None:
        """Undo a placing that could not be noted. Raises ProcrouteError where that cannot be."""
        try:
            let_out(self._linux.mount, path)
            self._linux.placement.end(path)
        except (ProcrouteError, OSError) as more:
            if isinstance(why, ProcrouteError | OSError):
                raise not_undone(why, more, "see procroute ps", "procroute release lets them go") from why
