"""What the daemon does to the kernel for whoever asks: one thing at a time, in one thread, under the lock.

A request comes with who asks (access.Peer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from procroute.checks import Checked
from procroute.config import Settings
from procroute.core.access import Peer, doubts, may_see
from procroute.daemon import subjects
from procroute.daemon.assigning import Assigning
from procroute.daemon.by_rule import ByRule
from procroute.daemon.checked import CheckedRoutes
from procroute.daemon.closing import Closing
from procroute.daemon.leavers import Leavers
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.owning import Owning
from procroute.daemon.placing import Placing
from procroute.daemon.register import Register, Watch
from procroute.daemon.reload import reread
from procroute.daemon.routes import Routes
from procroute.daemon.rule_drafts import RuleDrafts
from procroute.daemon.rule_subjects import RuleSubjects
from procroute.daemon.ruling import Ruling
from procroute.daemon.slices import Slices
from procroute.daemon.tunnels import Tunnels
from procroute.engine.explain import explain
from procroute.engine.lock import lock, patient
from procroute.engine.move import count
from procroute.engine.words import Tell
from procroute.kernel import adapters, unit_cgroups
from procroute.kernel.linux import Linux
from procroute.protocol import (
    Assignment,
    Assignments,
    Event,
    Explain,
    Explained,
    Ps,
    Switched,
)
from procroute.terminal import printable
from procroute.user_names import is_user


class Writer:
    """run, open, assign, release: for who asks (placing.py, slices.py, assigning.py, letting_go.py).

    said, watch: as of Register.
    """

    def __init__(self, settings: Settings, tell: Tell, said: Callable[[Event], None], watch: Watch) -> None:
        self._tell = tell
        self._linux = linux = Linux(settings.identity)
        linux.tell(given=settings.given_servers)
        self._routes = routes = Routes(linux, settings, tell)
        self.leavers = Leavers(linux.cgroup_mount, tell, said)
        self._register = Register(linux, routes, tell, said, watch, self.leavers)
        self._closing = Closing(linux, routes, self._register, tell)
        letting_go = LettingGo(linux, routes, self._register, tell)
        placing = Placing(linux, routes, self._register, letting_go, tell)
        assigning = Assigning(linux, routes, self._register, placing, tell)
        self.run, self.assign = placing.run, assigning.assign
        self.open = Slices(linux, routes, self._register, placing, tell).open
        self.release = letting_go.release
        seen = RuleSubjects(linux.cgroup_mount, self._register.origin_of)
        by_rule = ByRule(linux, routes, self._register, placing, assigning, tell)
        owning = Owning(linux, routes, tell)
        self.drafts = RuleDrafts(routes, placing, seen)
        self.ruling = Ruling(routes, seen, by_rule, letting_go, owning, tell)
        self.checked = CheckedRoutes(linux, routes, tell)
        self.tunnels = Tunnels(linux, routes, self._register, assigning, letting_go, tell)

    def adopt(self) -> int:
        """Take over what is there: an earlier daemon's, and of runs with engines of their own; how many."""
        with lock(patient(self._tell)):
            self._register.adopt()
        return len(self._register)

    def ps(self, peer: Peer, asked: Ps) -> Assignments:
        """Every assignment with its processes, as the asker may see them. Raises ProcrouteError."""
        shown = self.assignments(peer)
        if asked.sockets:
            mine = [a for a in shown if may_see(peer, a.owner)]
            numbers = [(self._register.number(a), [p.pid for p in a.processes]) for a in mine]
            counted = count(self._linux.identity, numbers, self._routes.marks_given())
            of = dict(zip((a.id for a in mine), counted, strict=True))
            shown = [replace(a, sockets=of.get(a.id)) for a in shown]
        return Assignments(assignments=shown)

    def assignments(self, peer: Peer) -> list[Assignment]:
        """The same, bare."""
        with lock(patient(self._tell)):
            self._register.take_in()
        return list(self._register.shown(peer))

    def known(self) -> list[Assignment]:
        """Every assignment, as it is remembered."""
        return self._register.known()

    def explain(self, peer: Peer, asked: Explain) -> Explained:
        """How packets of a process go, to whom it belongs or root. Raises ProcrouteError."""
        if asked.pid is not None:
            pids = [asked.pid]
        else:
            pids = subjects.of_unit(unit_cgroups.of_unit(self._linux.mount, asked.unit))
        if not peer.is_root:
            subjects.checked(peer, pids)
        return explain(self._linux, asked.pid, asked.unit, asked.destination, self._register.at)

    def switched(self, event: Switched) -> None:
        """A route leaves by another adapter. Raises OSError."""
        with lock(patient(self._tell)):
            self._routes.refresh()
            self._register.switched(event.route, event.adapter)

    def fill(self) -> None:
        """Adapters have changed, and one that a route waits for may be among them. Raises OSError."""
        if some := self._routes.waiting():
            with lock(patient(self._tell)):
                self._routes.fill(some)

    def reread(self) -> list[str]:
        """Take the configuration as it is now; what of it does not hold yet, or names nobody and nothing.

        Raises ProcrouteError config-bad; then the old one holds.
        """
        settings, notes = reread(self._routes.settings, [found.live for found in self._routes.all()])
        notes += self.doubts(settings)
        self._routes.settings = settings
        self._linux.tell(given=self.settings.given_servers)
        with lock(patient(self._tell)):
            self._register.name_anew()
        return notes

    def doubts(self, settings: Settings) -> list[str]:
        """What a configuration names that is not there, in words. Raises ProcrouteError."""
        there = {n for a in adapters.read(self._linux.netlink) for n in (a.name, *a.altnames)}
        unchecked = [
            f"[adapter.{name}]: there is no adapter {name} now"
            for name in settings.adapter
            if name not in there
        ]
        return list(map(printable, doubts(settings.access, is_user, there) + unchecked))

    @property
    def settings(self) -> Settings:
        """The configuration as it holds now."""
        return self._routes.settings

    @property
    def checks(self) -> Mapping[str, Checked]:
        """The health checks that are configured, by adapter."""
        return self._routes.settings.adapter

    def emptied(self, key: int) -> None:
        """A cgroup that is watched has no process any more."""
        self.leavers.judge()  # before it is forgotten
        assignment = self._register.get(key)
        if assignment is not None and not self._register.lives(assignment):
            with lock(patient(self._tell)):
                if not self._register.lives(assignment):  # somebody may have entered meanwhile
                    self._register.forget(assignment, "ended")

    def close_unused(self) -> float | None:
        """Close what can be closed; in how many seconds to look again, None: on news."""
        again = [self.leavers.rest(), self._closing.close_unused()]
        return min((seconds for seconds in again if seconds is not None), default=None)

    def stop(self) -> int:
        """Leave what lives as it is, remove the rest; how many assignments stay."""
        self.leavers.judge()
        with lock(patient(self._tell)):
            for assignment in self._register.ended():
                self._register.forget(assignment, "ended")
        self._closing.close_all()
        self._linux.netlink.close()
        self.leavers.close()
        return self._register.close()
