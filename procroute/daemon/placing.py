"""Puts processes on routes, each in a cgroup of its own, and the asker itself (run)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.access import Asked, Peer, check_route
from procroute.core.front_ends import advice
from procroute.core.moved import dns_words
from procroute.core.unit_names import slice_of
from procroute.daemon import subjects
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.register import Register
from procroute.daemon.routes import OpenRoute, Routes
from procroute.engine.lock import lock, patient
from procroute.engine.membership import let_out
from procroute.engine.settle import not_undone
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import adapters, lookup_daemons, resolvers, user_managers
from procroute.kernel.linux import Linux
from procroute.kernel.pinned import Known, lives, pinned
from procroute.kernel.placement import Newcomer
from procroute.kernel.process_facts import Facts
from procroute.protocol import Assignment, How, Placed, Run, Wanted


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
            resolv_conf = resolvers.private(found.live)
            asks = lookup_daemons.asked_by(who.pid, found.path) if resolv_conf is not None else ""
            if asks and not peer.is_root:  # root closes them to himself by a mount namespace
                notes.append(f"look-ups are {dns_words(found.live, asks)}")
        return Placed(
            assignment=self._register.shown_one(peer, assignment),
            notes=notes,
            resolv_conf=resolv_conf,
        )

    def check(self, peer: Peer, wanted: Wanted) -> None:
        """Whether somebody may have a route. Raises ProcrouteError not-permitted, usage."""
        access, meant = self._routes.settings.access, self._routes.meant(wanted)
        if not peer.is_root and access:
            for name in meant.adapter.split(","):
                check_route(access, peer, self._asked(wanted, name.strip()))

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

    def opened(self, peer: Peer, wanted: Wanted, *, absent: bool = False) -> tuple[OpenRoute, list[str]]:
        """The route, if he may have it; under the lock. Raises ProcrouteError.

        absent: as in Request.
        """
        self.check(peer, wanted)
        found, notes = self._routes.open(replace(self._routes.meant(wanted), absent=absent))
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
            try:
                path = self._linux.placement.place(target, Newcomer(who.pid, name, described, origin))
            except ProcrouteError as e:
                if lives(pidfd):
                    raise
                raise ProcrouteError("process-unknown", f"process {who.pid} has ended") from e
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
