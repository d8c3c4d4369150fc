"""What the daemon does to the kernel for whoever asks: one thing at a time, under the lock.

A request comes with who asks (access.Peer). What may be done for him is decided here, from what the kernel
says of processes that are pinned by then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from procroute.config import Settings
from procroute.core.access import Asked, Peer, check_route, may_see
from procroute.core.front_ends import advice
from procroute.core.machine import Machine
from procroute.core.moved import dns_words, total
from procroute.core.unit_names import slice_of
from procroute.daemon import subjects
from procroute.daemon.ledger import Ledger
from procroute.daemon.routes import Open, Routes
from procroute.engine.explain import explain
from procroute.engine.gather import gather, let_out
from procroute.engine.linger import Carried, Goodbye, end, linger
from procroute.engine.lock import lock, patient
from procroute.engine.move import count, follow, part
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, cgroups, resolvers, sockets
from procroute.kernel.linux import Linux
from procroute.kernel.lookup_daemons import asked_by
from procroute.kernel.pinned import Known, pinned
from procroute.kernel.placement import Newcomer
from procroute.kernel.process_facts import Facts, command_of, facts, name_of
from procroute.model import Marks
from procroute.protocol import (
    Added,
    Assign,
    Assigned,
    Assignment,
    Assignments,
    Event,
    Existing,
    Explain,
    Explained,
    How,
    Moved,
    Placed,
    Process,
    Ps,
    Release,
    Released,
    Removed,
    Run,
    Wanted,
    Why,
)

Watch = Callable[[int, Path | None], None]
_SOON, _LATER, _AT_THE_END = 0.02, 1.0, 2.0
"""When to look again, and for how long connections may close when the daemon ends; in seconds."""


class Writer:
    """The only one in the daemon that changes something, and in one thread.

    said: takes each event. watch: told of each cgroup that has to be watched for its last process, by a key:
    the id of an assignment, or the negative number of a route; with None, no longer.
    """

    def __init__(self, settings: Settings, tell: Tell, said: Callable[[Event], None], watch: Watch) -> None:
        self._settings = settings
        self._tell = tell
        self._said = said
        self._watch = watch
        self._linux = Linux(settings.identity)
        self._routes = Routes(self._linux, settings, tell)
        self._ledger = Ledger(tell)
        self._goodbyes: dict[int, Goodbye] = {}
        self._namespace = os.stat("/proc/self/ns/net").st_ino

    def adopt(self) -> int:
        """Take over what is there: an earlier daemon's, and of runs with engines of their own; how many."""
        with self._locked():
            self._ledger.load(lambda cgroup: self._path(cgroup).exists())
            self._take_in()
        for assignment in self._ledger:
            self._watch(assignment.id, self._path(assignment.cgroup))
        return len(self._ledger)

    def run(self, peer: Peer, asked: Run) -> Placed:
        """Put the asker itself on a route. Raises ProcrouteError."""
        (who,) = subjects.checked(peer, [peer.pid], self._namespace)
        if who.began != peer.began:
            raise ProcrouteError("process-unknown", "whoever asked has ended")
        with self._locked():
            found, notes = self._opened(peer, asked.route)
            command = asked.command or [who.name]
            known = advice(command, slice_of(found.live.route.name))
            if known.refuse:
                raise ProcrouteError("command-leaves", known.text, known.hint)
            if known.text:
                notes += [known.text, f"hint: {known.hint}"]
            assignment = self._placed(peer, found, who, "run", " ".join(command))
        return Placed(
            assignment=self._shown(peer, assignment), notes=notes, resolv_conf=resolvers.private(found.live)
        )

    def assign(self, peer: Peer, asked: Assign) -> Assigned:
        """Put processes that run already on a route. Raises ProcrouteError; then none was moved."""
        pids = [*asked.pids]
        if asked.name:
            pids += subjects.of_name(peer, asked.name, self._namespace)
        if asked.unit:
            pids += subjects.of_unit(self._linux.mount, asked.unit)
        if not pids:
            raise ProcrouteError("usage", "no process was named", "give PIDs, --name or --unit")
        who = subjects.checked(peer, dict.fromkeys(pids), self._namespace)
        with self._locked():
            found, notes = self._opened(peer, asked.route)
            together: dict[tuple[int, str], list[Facts]] = {}
            for one in who:
                together.setdefault((one.uids[0], self._origin(one.pid)), []).append(one)
            machine = Machine(adapters=adapters.read(self._linux.netlink))
            made, moved = [], Moved()
            for some in together.values():
                assignment = self._placed(peer, found, some[0], "assign", " ".join(command_of(some[0].pid)))
                path = self._path(assignment.cgroup)
                uid = None if peer.is_root else peer.uid
                gathered = gather(path, [Known(f.pid, f.began) for f in some], tree=asked.tree, uid=uid)
                if not gathered.settled:
                    notes.append("they fork faster than they can be followed: look again with procroute ps")
                notes += [f"{describe(other.pid)} is another user's and stays" for other in gathered.others]
                moved = total(
                    moved,
                    follow(
                        self._linux.identity,
                        found.live,
                        path,
                        machine,
                        existing=asked.existing,
                        servers=asked.servers,
                    ),
                )
                made.append(self._shown(peer, assignment))
        dns = dns_words(found.live, asked_by(who[0].pid))
        return Assigned(assignments=made, moved=moved, dns=dns, notes=notes)

    def release(self, peer: Peer, asked: Release) -> Released:
        """Let assignments go. Raises ProcrouteError; then none was."""
        with self._locked():
            chosen = [self._of_id(peer, number) for number in asked.ids]
            chosen += [self._of_pid(peer, pid) for pid in asked.pids]
            if not chosen:
                raise ProcrouteError("usage", "nothing was named", "procroute ps lists the assignments")
            released = list({a.id: a for a in chosen}.values())
            shown = [self._shown(peer, a) for a in released]
            moved = Moved()
            for assignment in released:
                moved = total(moved, self._let_go(assignment, asked.existing))
                self._forget(assignment, "released")
        return Released(assignments=shown, moved=moved)

    def ps(self, peer: Peer, asked: Ps) -> Assignments:
        """Every assignment with its processes, as the asker may see them. Raises ProcrouteError."""
        shown = self.assignments(peer)
        if asked.sockets:
            mine = [a for a in shown if may_see(peer, a.owner)]
            counted = count(
                self._linux.identity, [(self._number(a), [p.pid for p in a.processes]) for a in mine]
            )
            of = {a.id: found for a, found in zip(mine, counted, strict=True)}
            shown = [replace(a, sockets=of.get(a.id)) for a in shown]
        return Assignments(assignments=shown)

    def assignments(self, peer: Peer) -> list[Assignment]:
        """The same, bare."""
        with self._locked():
            self._take_in()
        return [self._shown(peer, a) for a in self._ledger]

    def explain(self, peer: Peer, asked: Explain) -> Explained:
        """How packets of a process go, to whom it belongs or root. Raises ProcrouteError."""
        pids = [asked.pid] if asked.pid is not None else subjects.of_unit(self._linux.mount, asked.unit)
        if not peer.is_root:
            subjects.checked(peer, pids, self._namespace)
        return explain(self._linux, asked.pid, asked.unit, asked.destination, self._ledger.at)

    def emptied(self, key: int) -> None:
        """A cgroup that is watched has no process any more."""
        assignment = self._ledger.get(key)
        if assignment is not None and not cgroups.populated(self._path(assignment.cgroup)):
            with self._locked():
                self._forget(assignment, "ended")

    def close_unused(self) -> float | None:
        """Close routes that nobody uses any more; in how many seconds to look again, None: on news."""
        again: list[float] = []
        for found in self._routes.unused():
            number = found.live.number
            carried = self._carried(found)
            if self._kept(number):
                self._goodbyes.pop(number, None)
                again.append(_LATER)
                continue
            goodbye = self._goodbyes.setdefault(number, Goodbye(self._linux.identity, carried))
            if not goodbye.is_said():
                again.append(_SOON)
                continue
            with self._locked():
                if not cgroups.populated(found.path):
                    end(self._linux.identity, carried, self._tell)
                    self._watch(-number, None)
                    self._routes.close(number)
            del self._goodbyes[number]
        return min(again, default=None)

    def stop(self) -> int:
        """Leave what lives as it is, remove the rest; how many assignments stay."""
        with self._locked():
            for assignment in self._ledger:
                if not cgroups.populated(self._path(assignment.cgroup)):
                    self._forget(assignment, "ended")
        for found in self._routes.unused():
            kept = self._kept(found.live.number)
            for each in kept:
                sockets.destroy(each)
            if kept:
                self._tell(f"{len(kept)} connections that were kept on {found.live.route.name} were ended")
            carried = self._carried(found)
            linger(self._linux.identity, carried, time.sleep, stalled=_AT_THE_END)
            with self._locked():
                if not cgroups.populated(found.path):
                    end(self._linux.identity, carried, self._tell)
        with self._locked():
            self._routes.let_be()
        self._ledger.close()
        self._linux.netlink.close()
        return len(self._ledger)

    def _kept(self, number: int) -> list[sockets.InetSocket]:
        """The sockets of processes that were let go which still go by a route."""
        identity = self._linux.identity
        found = (
            sockets.with_mark(protocol, identity.mark(number), identity.number_mask)
            for protocol in (sockets.TCP, sockets.UDP)
        )
        return [each for some in found for each in some if each.inode and each.state != sockets.TIME_WAIT]

    def _carried(self, found: Open) -> Carried:
        """What tells the sockets of a route."""
        made_in = cgroups.ids(found.path) if found.live.marks is Marks.PACKETS else frozenset()
        return Carried([found.live.number], made_in)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with lock(patient(self._tell)):
            yield

    def _path(self, cgroup: str) -> Path:
        return self._linux.mount / cgroup.lstrip("/")

    def _opened(self, peer: Peer, wanted: Wanted) -> tuple[Open, list[str]]:
        """The route, if he may have it."""
        if not peer.is_root and self._settings.access:
            check_route(self._settings.access, peer, self._asked(wanted))
        found, notes = self._routes.open(wanted)
        self._goodbyes.pop(found.live.number, None)
        self._watch(-found.live.number, found.path)
        return found, notes

    def _asked(self, wanted: Wanted) -> Asked:
        named = (a for a in adapters.read(self._linux.netlink) if wanted.via in (a.name, *a.altnames))
        adapter = next(named, None)
        names = [wanted.via] if adapter is None else [adapter.name, *adapter.altnames]
        gateway = wanted.gateway4 is not None or wanted.gateway6 is not None
        return Asked(names, gateway=gateway, dns=bool(wanted.dns))

    def _placed(self, peer: Peer, found: Open, who: Facts, how: How, command: str) -> Assignment:
        """A new assignment for a process, which is in it then."""
        owner = who.uids[0]
        target = self._routes.target(found, owner)
        number = self._ledger.next_id()
        name = f"run-{who.pid}" if how == "run" else f"assign-{number}"
        described = f"procroute {how}: {command}"
        origin = self._origin(who.pid)
        with pinned(Known(who.pid, who.began)) as pidfd:
            if pidfd is None:
                raise ProcrouteError("process-unknown", f"process {who.pid} has ended")
            path = self._linux.placement.place(target, Newcomer(who.pid, name, described, origin))
        return self._noted(found, number, path, how=how, owner=owner, by=peer.uid, command=command)

    def _noted(
        self, found: Open, number: int, path: Path, *, how: How, owner: int, by: int, command: str
    ) -> Assignment:
        """A new assignment, remembered, watched, and told of."""
        assignment = Assignment(
            id=number,
            route=found.live.route.name,
            adapter=found.live.route.adapter,
            how=how,
            owner=owner,
            by=by,
            cgroup=self._cgroup(path),
            origin=cgroups.origin(path),
            since=time.time(),
            command=command,
        )
        self._ledger.add(assignment)
        self._watch(number, path)
        self._said(Added(at=assignment.since, assignment=assignment))
        return assignment

    def _origin(self, pid: int) -> str:
        """Where a process returns to: its cgroup, or where it was before it was assigned the last time."""
        cgroup = cgroups.current(self._linux.mount, pid)
        before = self._ledger.at(cgroup)
        return before.origin if before else cgroup

    def _let_go(self, assignment: Assignment, existing: Existing) -> Moved:
        """Move every process back, and what it has open, as far as that can be."""
        members = let_out(self._linux.mount, self._path(assignment.cgroup))
        origin = self._path(assignment.origin)
        routed = cgroups.within_target(self._linux.mount, assignment.origin)
        return part(
            self._linux.identity,
            self._number(assignment),
            members,
            Machine(adapters=adapters.read(self._linux.netlink)),
            existing=existing,
            origin=None if routed or not origin.exists() else origin,
        )

    def _number(self, assignment: Assignment) -> int:
        """Of its route: the target has the same name in everybody's tree. 0: the route has gone."""
        name = Path(assignment.cgroup).parent.name
        return next((f.live.number for f in self._routes.all() if f.path.name == name), 0)

    def _forget(self, assignment: Assignment, why: Why) -> None:
        path = self._path(assignment.cgroup)
        self._watch(assignment.id, None)
        self._ledger.remove(assignment.id)
        if path.exists() and not cgroups.populated(path):
            self._linux.placement.end(path)
        self._said(Removed(at=time.time(), assignment=assignment, why=why))

    def _of_id(self, peer: Peer, number: int) -> Assignment:
        found = self._ledger.get(number)
        if found is None:
            raise ProcrouteError(
                "assignment-unknown", f"there is no assignment {number}", "procroute ps lists them"
            )
        return self._checked(peer, found)

    def _of_pid(self, peer: Peer, pid: int) -> Assignment:
        try:
            cgroup = cgroups.current(self._linux.mount, pid)
        except OSError:
            raise ProcrouteError(
                "process-unknown", f"there is no process {pid}", "ps(1) lists them"
            ) from None
        for place in (cgroup, *map(str, Path(cgroup).parents)):
            found = self._ledger.at(place)
            if found is not None:
                return self._checked(peer, found)
        raise ProcrouteError(
            "assignment-unknown", f"process {pid} is in no assignment", "procroute ps lists them"
        )

    @staticmethod
    def _checked(peer: Peer, found: Assignment) -> Assignment:
        if not may_see(peer, found.owner):
            raise ProcrouteError(
                "not-permitted",
                f"assignment {found.id} is of uid {found.owner}",
                "you may let your own processes go; root may let all",
            )
        return found

    def _shown(self, peer: Peer, assignment: Assignment) -> Assignment:
        """With its processes; without what only its owner and root may see."""
        pids = sorted({pid for pid, _ in cgroups.processes(self._path(assignment.cgroup))})
        if not may_see(peer, assignment.owner):
            return replace(assignment, command="", processes=[Process(pid, name_of(pid)) for pid in pids])
        return replace(assignment, processes=[Process(p, name_of(p), command_of(p)) for p in pids])

    def _take_in(self) -> None:
        """Learn of what others have put on routes: runs with an engine of their own, units in our slices."""
        for found in self._routes.adopt():
            self._watch(-found.live.number, found.path)
        for found in self._routes.all():
            for target in self._routes.paths(found):
                for place in sorted(p for p in target.iterdir() if p.is_dir()):
                    if self._ledger.at(self._cgroup(place)) is None and cgroups.populated(place):
                        self._take(found, place)

    def _take(self, found: Open, place: Path) -> None:
        first = next((pid for pid, _ in cgroups.processes(place) if pid), 0)
        known = facts(first)
        owner = known.uids[0] if known else 0
        command = " ".join(command_of(first))
        number = self._ledger.next_id()
        self._noted(found, number, place, how=_how(place, first), owner=owner, by=owner, command=command)

    def _cgroup(self, path: Path) -> str:
        return f"/{path.relative_to(self._linux.mount)}"


def _how(place: Path, first: int) -> How:
    """How an assignment that nobody remembers came about, by its cgroup's name. first: a process in it."""
    kind, _, rest = place.name.removeprefix("procroute-").removesuffix(".scope").partition("-")
    if kind == "assign":
        return "assign"
    if kind != "run":
        return "unit"
    engine = rest.partition(".")[0]
    has_engine = engine.isdecimal() and int(engine) != first and os.path.exists(f"/proc/{engine}")
    return "embedded" if has_engine else "run"
