"""Puts processes that run already on routes, with what they have open: whole units in place, others apart."""

from __future__ import annotations

from pathlib import Path

from procroute.core.access import Peer
from procroute.core.machine import Machine
from procroute.core.moved import dns_words, total
from procroute.daemon import subjects, whole_units
from procroute.daemon.placing import Placing
from procroute.daemon.register import Register
from procroute.daemon.routes import OpenRoute, Routes
from procroute.daemon.whole_units import WholeUnit
from procroute.engine.gather import around, gather
from procroute.engine.lock import lock, patient
from procroute.engine.move import follow
from procroute.engine.open_sockets import Ahead
from procroute.engine.reconcile import reconcile
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, family, unit_cgroups
from procroute.kernel.linux import Linux
from procroute.kernel.lookup_daemons import asked_by
from procroute.kernel.pinned import Known
from procroute.kernel.process_facts import Facts, command_of
from procroute.model import Marks
from procroute.protocol import Assign, Assigned, Assignment, How, Moved


class Assigning:
    """Takes the lock itself. placing: has routes open, and processes on them."""

    def __init__(
        self, linux: Linux, routes: Routes, register: Register, placing: Placing, tell: Tell
    ) -> None:
        self._linux = linux
        self._routes = routes
        self._register = register
        self._placing = placing
        self._tell = tell

    def assign(self, peer: Peer, asked: Assign, rule: str = "", place: Path | None = None) -> Assigned:
        """Put processes that run already on a route. rule: that asks for it. place: the cgroup of the unit
        that is asked for; None: it is found by its name. Raises ProcrouteError; then none was moved."""
        if asked.unit and place is None:
            place = unit_cgroups.of_unit(self._linux.mount, asked.unit)
        who = subjects.checked(peer, dict.fromkeys(self._named(peer, asked, place)))
        with lock(patient(self._tell)):
            found, notes = self._placing.opened(peer, asked.route, absent=bool(rule))
            machine = Machine(adapters=adapters.read(self._linux.netlink))
            made: list[Assignment] = []
            moved = Moved()
            with self._placing.undoing(made):
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
        dns = dns_words(found.live, asked_by(who[0].pid, found.path))
        return Assigned(assignments=shown, moved=moved, dns=dns, notes=notes)

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
        whole = whole_units.whole_units(self._linux.cgroup_mount, peer, wanted)
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
                in_place=True,
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
        assignment = self._placing.placed(peer, found, some[0], how, " ".join(command_of(some[0].pid)), rule)
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
