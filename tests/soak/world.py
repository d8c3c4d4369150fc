"""A lab's machine with a daemon, people who speak without a pause, and all that can happen to them.

with World(Tally()) as world:
    ada = world.run(Route("wan1"), owner=1000)
    world.kill_daemon()
    check(world)

Each action says by what it leaves here what must be true after it; oracle.py looks. An action of a later part
of procroute is one more method here and one more rule in life.py.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, Literal

from procroute import identity
from procroute.kernel import programs
from procroute.lab import WAN1, WAN2, Uplink
from procroute.lab.topology import resolvers
from tests.netns.daemons import as_user
from tests.netns.inhabitants import RUN, Inhabitant, start
from tests.netns.running import ENVIRONMENT, PROCROUTE, until
from tests.netns.traffic import FAMILIES
from tests.soak.deeds import DAMAGE
from tests.soak.people import SPEAKER, Assignment, Person, Route
from tests.soak.phases import ANY
from tests.soak.setting import WANS, Setting, hang_up
from tests.soak.tally import Tally

BAD: Final = "packet_marks = 7"
LINES: Final = {wan: Route(wan, others=("vpn0",), name=f"lines{wan[-1]}") for wan in WANS}
"""Routes that leave by vpn0 while their own adapter is no way out."""
_ROUTES: Final = "".join(
    f'[route.{each.name}]\nadapters = ["{each.adapter}", "vpn0"]\nhold = 0.5\n' for each in LINES.values()
)
CONFIG_FILE: Final = Path(identity.CONFIG_FILE)
SERVERS: Final = resolvers("both", [WAN1, WAN2])
"""The machine's name servers."""


class World(Setting):
    """See above. Everything ends with the block; what the end must leave is looked at by `finish`."""

    def __init__(self, tally: Tally, rp_filter: Literal[0, 1, 2] = 0) -> None:
        super().__init__(tally, rp_filter)
        self.people: list[Person] = []
        self.down: set[str] = set()
        self.unplugged: set[str] = set()
        """Those that are down for want of a carrier: main's IPv6 may pass them by."""
        self.bare: set[tuple[str, int]] = set()
        """Adapters without an address of a family."""
        self.off_main: set[tuple[str, int]] = set()
        """Those without a default of a family in main."""
        self._text = ""
        self._names = 0
        self._unheld: list[Person] = []

    def prepare(self) -> None:
        """Before anything else is done."""
        self.configure()
        self.procroute("reload")

    def configure(self) -> None:
        """Write the configuration as it should be now."""
        self.lab.path(str(CONFIG_FILE.parent)).mkdir(exist_ok=True)
        self.lab.path(str(CONFIG_FILE)).write_text(f"{self._text}\n{_ROUTES}{self.more_configured()}")

    def more_configured(self) -> str:
        """Tables of the configuration, after those of every world."""
        return ""

    # --- people come and go

    def run(self, route: Route, owner: int = 0) -> Person:
        """A command under `procroute run`."""
        words = [*as_user(owner), *RUN, *route.options, "--"]
        person = self._born(words, owner)
        person.join(Assignment(route))
        self._tell(person)
        return person

    def stay(self, owner: int = 0) -> Person:
        """Somebody who is not routed."""
        person = self._born(as_user(owner), owner)
        self._tell(person)
        return person

    def bear(self, parent: Person) -> Person:
        """A child, which is where its parent is."""
        self._names += 1
        name = f"{parent.name}.{self._names}"
        pid = parent.ask("bear", name=name).pid
        child = Person(name, parent.owner, parent=parent, pid=pid)
        parent.children.append(child)
        child.join(parent.assignment)
        self.people.append(child)
        self._tell(child)
        return child

    def end(self, person: Person) -> None:
        """It ends, with its children."""
        gone = person.tree()
        self.people = [one for one in self.people if one not in gone]
        person.end()

    def _born(self, before: list[str], owner: int) -> Person:
        self._names += 1
        python = self._python if owner else sys.executable
        process, errors = self._stack.enter_context(start(self.lab, [*before, python, *SPEAKER], ENVIRONMENT))
        self._stack.callback(hang_up, process)
        person = Person(f"{'alice' if owner else 'root'}{self._names}", owner, Inhabitant(process, errors))
        person.pid = person.ask("hello").pid
        self.people.append(person)
        return person

    # --- what the daemon is asked for

    def assign(
        self, person: Person, route: Route, *, existing: str = "keep", tree: bool = False, by: int = 0
    ) -> None:
        """Put it on a route, with its children if `tree`."""
        moved = person.tree() if tree else [person]
        for one in moved:
            one.widen(route.adapters)
        options = [*route.options, "--existing", existing, *(["--tree"] if tree else [])]
        self.procroute("assign", str(person.pid), *options, by=by)
        assignment = Assignment(route)
        for one in moved:
            one.join(assignment)
            one.guarded = False
            self._tell(one)

    def release(self, person: Person, *, existing: str = "keep", by: int = 0) -> None:
        """Let go of its assignment."""
        assert person.assignment
        members = list(person.assignment.members)
        for one in members:
            one.widen(ANY)
        self.procroute("release", str(person.pid), "--existing", existing, by=by)
        for one in members:
            one.join(None)
            one.guarded = False
            self._tell(one)

    def reload(self, text: str, *, by_signal: bool) -> None:
        """The configuration is another; a bad one changes nothing, and is taken away again."""
        assert self.daemon
        before, self._text = self._text, text
        self.configure()
        if by_signal:
            self.daemon.process.send_signal(signal.SIGHUP)
        else:
            done = self.lab.run([*PROCROUTE, "reload"], env=ENVIRONMENT)
            assert (done.returncode == 0) is (text != BAD), done.stderr
        if text == BAD:
            self._text = before
            self.configure()

    # --- what happens to the machine

    def detach(self, person: Person, *kinds: str) -> None:
        """Take BPF programs off the route that somebody is on."""
        target = Path(person.ask("hello").cgroup).parent
        programs.detach(str(self.lab.path(f"/sys/fs/cgroup{target}")), kinds)

    def damage(self, name: str) -> None:
        """Somebody takes away what is ours. Sockets that were made elsewhere have no guard to hold them."""
        self._unheld += [one for one in self.people if one.route and not one.guarded]
        for person in self._unheld:
            if person.kept:
                person.kept.widen(ANY)
        DAMAGE[name](self.lab)
        self._changed()

    def renew(self, person: Person) -> None:
        """It closes all that it has open, and goes on by new sockets."""
        person.ask("renew")
        person.guarded = True

    def interrupt(self, person: Person, route: Route, seconds: float) -> None:
        """Assign it, and kill the daemon so many seconds later; then it is where it is."""
        assert self.daemon
        person.widen(route.adapters)
        before = person.ask("hello").cgroup
        words = [*PROCROUTE, "assign", str(person.pid), *route.options]
        quiet = subprocess.DEVNULL
        asking = self.lab.popen(words, env=ENVIRONMENT, stdout=quiet, stderr=quiet)
        time.sleep(seconds)
        self.kill_daemon()
        asking.wait(60)
        self.start_daemon()
        self.renew(person)
        cgroup = person.ask("hello").cgroup
        if "/assign-" in cgroup and cgroup != before:
            person.join(Assignment(route))
        self._tell(person)

    def settled(self) -> None:
        """All has been seen to be right: what had no hold for a moment has it again."""
        for person in self._unheld if self.daemon is not None else ():
            if person in self.people:
                self._tell(person)
        self._unheld = [] if self.daemon is not None else self._unheld

    def adapter_down(self, adapter: str) -> None:
        """And with it its entries of main, and its IPv6 addresses."""
        self._before_main()
        self.lab.uplinks[adapter].down()
        self.down.add(adapter)
        self.off_main |= {(adapter, family) for family in FAMILIES}
        self._changed()

    def lose_carrier(self, adapter: str) -> None:
        """Main keeps its entries, by which nothing is answered, but that IPv6 may use others."""
        self._before_main()
        self.lab.uplinks[adapter].carrier(False)
        self.down.add(adapter)
        self.unplugged.add(adapter)
        self._changed()

    def adapter_up(self, adapter: str) -> None:
        """With all that was ever taken from it."""
        self._before_main()
        self.lab.uplinks[adapter].restore()
        if adapter in self.unplugged:
            self.lab.uplinks[adapter].forget_neighbours()  # or main's IPv6 passes it by for a while
        self.down.discard(adapter)
        self.unplugged.discard(adapter)
        self.bare = {one for one in self.bare if one[0] != adapter}
        self.off_main = {one for one in self.off_main if one[0] != adapter}
        self._changed()

    def drop_address(self, adapter: str, family: int) -> None:
        """The kernel drops the default, too, where that was the last of IPv4."""
        self._before_main()
        self.lab.uplinks[adapter].drop_address(family)
        self.bare.add((adapter, family))
        if family == 4:
            self.off_main.add((adapter, family))
        self._changed()

    def drop_gateway(self, adapter: str, family: int) -> None:
        """Out of main."""
        self._before_main()
        self.lab.uplinks[adapter].drop_gateway(family)
        self.off_main.add((adapter, family))
        self._changed()

    def _before_main(self) -> None:
        for person in self.people:
            if person.route is None:
                person.widen(ANY)

    def _changed(self) -> None:
        self.stale |= self.daemon is None
        for person in self.people:
            if person.route is None:
                self._tell(person)

    # --- what must be true

    def uplink(self, adapter: str) -> Uplink:
        """By its name."""
        return self.lab.uplinks[adapter]

    def default(self, family: int) -> str | None:
        """The adapter that main prefers, as main itself says."""
        found = json.loads(self.lab.ip(f"-{family} -j route show table main default") or "[]")
        defaults = sorted((one.get("metric", 0), one["dev"]) for one in found if "dev" in one)
        return str(defaults[0][1]) if defaults else None

    def may(self, person: Person) -> dict[int, frozenset[str]]:
        """By which adapters it may speak to the world."""
        if person.route is not None:
            return dict.fromkeys(FAMILIES, person.route.adapters)
        return {family: self._by_main(family) for family in FAMILIES}

    def _by_main(self, family: int) -> frozenset[str]:
        adapter = self.default(family)
        return ANY if adapter in self.unplugged else frozenset({adapter} if adapter else ())

    def routed(self) -> dict[int, Route]:
        """By its PID the route of each process that is on one."""
        return {one.pid: one.route for one in self.people if one.route}

    def more_wrong(self) -> list[str]:
        """What else is not as it should be."""
        return []

    def ways(self, route: Route) -> frozenset[str]:
        """By which adapter a route leaves now; more than one: by one of these, nobody knows by which."""
        listed = (route.adapter, *route.others)
        found = set()
        for adapter in listed:
            hurt = {(adapter, family) for family in FAMILIES} & (self.bare | self.off_main)
            if adapter in self.down and not self.stale:
                continue
            found.add(adapter)
            if not hurt and not self.stale:
                break
        return frozenset(found or listed)

    def _tell(self, person: Person) -> None:
        """A new phase of its life."""
        asks = ANY if person.route is None else person.route.adapters
        may = self.may(person)
        kept = self.phases.begin(f"{person.name}, by sockets that it keeps,", may)
        person.speak(self.phases.begin(person.name, may, asks), kept, SERVERS)

    def finish(self) -> dict[str, tuple[str, str]]:
        """All end, the daemon too, `cleanup` runs, and the adapters are as before: what differs then."""
        for person in [one for one in self.people if one.parent is None]:
            self.end(person)
        for wan in WANS:
            self.adapter_up(wan)
        if self.daemon is not None:
            self.stop_daemon()
        self.procroute("cleanup")
        self._of_users.close()
        self.lab.sh(f"rm -f {CONFIG_FILE}; rmdir {CONFIG_FILE.parent} 2>/dev/null || true")
        with contextlib.suppress(AssertionError):
            until(lambda: not self.different(), 5)
        return self.different()
