"""A world in which a route rule takes programs: its file comes, changes and goes, as daemon and holder do.

The rule is for `first4` and `first6`, which connect by their first system calls, and for a script that
becomes a speaker. Who answers them says by which adapter their first packet left.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import Final

from tests.netns.daemons import as_user
from tests.netns.holding import PLACE, first, programs, routers, timed_start
from tests.netns.ruled import FOLDER, PROGRAM, PROGRAMS, script, write
from tests.netns.running import ENVIRONMENT, PROCROUTE, until
from tests.netns.traffic import FAMILIES
from tests.soak.people import Assignment, Person, Route
from tests.soak.world import World

_FILE: Final = "50-soak.toml"
_BAD: Final = "99-bad.toml"
_AGAIN: Final = "starts are held again"


@dataclass(frozen=True)
class Way:
    """Where the rule leads: a route; deny: what becomes of a start while no daemon answers."""

    route: Route
    deny: bool

    @property
    def text(self) -> str:
        """The rule."""
        names = ", ".join(f'"{path}"' for path in (first(4), first(6), PROGRAM))
        lines = ["[[rule]]", f"exe = [{names}]", f'via = "{self.route.adapter}"']
        lines += ["strict = true"] if self.route.strict else []
        lines += [f'dns = ["{self.route.dns}"]'] if self.route.dns else []
        return "\n".join([*lines, f'when_down = "{"deny" if self.deny else "allow"}"', ""])


class Ruled(World):
    """way: what the rule says; enabled: whether it is switched on."""

    way: Way | None = None
    enabled = True

    def prepare(self) -> None:
        """Before anything else is done."""
        super().prepare()
        programs(self.lab)
        script(self.lab)

    @property
    def holds(self) -> Way | None:
        """The rule, while it is switched on."""
        return self.way if self.enabled else None

    # --- its file

    def put_rule(self, way: Way) -> None:
        """A file that is new, or another one than before."""
        write(self.lab, way.text, _FILE)
        self._reload()
        self.way, self.enabled = way, True

    def drop_rule(self) -> None:
        """There is no file any more."""
        self.lab.sh(f"rm {FOLDER}/{_FILE}")
        self._reload()
        self.way, self.enabled = None, True

    def switch_rule(self) -> None:
        """On or off."""
        self.procroute("rules", "disable" if self.enabled else "enable", f"{FOLDER}/{_FILE}:1")
        self.enabled = not self.enabled

    def bad_rule(self) -> None:
        """Beside a bad file the rules of before hold."""
        write(self.lab, "[[rule]]\nexe = 7\n", _BAD)
        done = self.lab.run([*PROCROUTE, "reload"], env=ENVIRONMENT)
        assert done.returncode != 0, done.stderr
        self.start_programs()
        self.lab.sh(f"rm {FOLDER}/{_BAD}")
        self._reload()

    def _reload(self) -> None:
        self.procroute("reload")

    # --- programs

    def replace_programs(self) -> None:
        """By new files of their names, as a package manager does."""
        for path in (first(4), first(6), PROGRAM):
            self.lab.sh(f"cp -p {path} {path}.dpkg-new; sleep 0.1; mv {path}.dpkg-new {path}")

    def start_programs(self) -> None:
        """One of each family: where its first packet leaves, and whether it starts at all."""
        for family in FAMILIES:
            heard = self._start(family)
            assert heard in self._expected(family), f"first{family}: {heard}, not {self._expected(family)}"
            self.tally.checks["first packets"] += 1

    def _start(self, family: int) -> str:
        """The router that answered; empty: none has."""
        said = self.lab.run(["timeout", "2", first(family)]).stdout
        return next((router for router in routers(said) if router != "none"), "")

    def _expected(self, family: int) -> set[str]:
        way = self.holds
        if way is not None and (self.daemon is not None or way.deny):
            own = self.uplink(way.route.adapter).wire.node
            if self.daemon is None:
                return {""}
            if not self._doubtful(way.route.adapter, family):
                return {own}
            # Where the route cannot be, the rule says whether it starts, by the machine's own way.
            return {own, ""} | (set() if way.deny else self._of_main(family))
        return self._of_main(family)

    def _of_main(self, family: int) -> set[str]:
        adapters = self._by_main(family)
        nodes = {self.uplink(adapter).wire.node for adapter in adapters}
        doubtful = any(adapter in self.down or (adapter, family) in self.bare for adapter in adapters)
        return nodes | {""} if doubtful or not nodes else nodes

    def _doubtful(self, adapter: str, family: int) -> bool:
        """Whether an adapter may have no way out now."""
        return adapter in self.down or bool({(adapter, family)} & (self.bare | self.off_main))

    def by_rule(self, owner: int = 0) -> Person | None:
        """A speaker that the rule takes; None: it would not start."""
        way = self.holds
        if way is not None and self.daemon is None and way.deny:
            _, status = timed_start(self.lab, PROGRAM)
            assert status, "what the rule denies has started"
            return None
        person = self._born([*as_user(owner), PROGRAM], owner)
        if way is not None and self.daemon is not None:
            person.join(Assignment(way.route))
        self._tell(person)
        return person

    # --- who places them

    def kill_holder(self) -> None:
        """The daemon starts another one."""
        assert self.daemon
        before = self.daemon.log().count(_AGAIN)
        self.end_holder()
        daemon = self.daemon
        until(lambda: daemon.log().count(_AGAIN) > before, what="another holder")

    def end_holder(self) -> None:
        """As a crash does."""
        for pid in self._holders():
            self.lab.run(["kill", "-9", pid])

    def kill_daemon_while_held(self, seconds: float) -> None:
        """So many seconds after a start: it goes by the rule's route, or as `when_down` says."""
        assert self.daemon
        family = FAMILIES[int(seconds * 1000) % 2]
        expected = self._expected(family)
        way = self.holds
        starting = self.lab.popen(["timeout", "3", first(family)], stdout=subprocess.PIPE)
        time.sleep(seconds)
        self.kill_daemon()
        said, _ = starting.communicate()
        heard = next(iter(routers(said)), "")
        assert heard in expected | self._expected(family), f"{heard}, not {expected}, {way}"
        self.tally.checks["first packets"] += 1

    def finish(self) -> dict[str, tuple[str, str]]:
        """As every world's, and no holder is left."""
        if self.daemon is None and (self.way is not None or self._holders()):
            self.start_daemon()
        if self.way is not None:
            self.drop_rule()
        until(lambda: not self._holders(), what="the end of the holder")
        self.lab.sh(f"rm -rf {FOLDER} {PLACE} {PROGRAMS}")
        return super().finish()

    def _holders(self) -> list[str]:
        return self.lab.run(["pgrep", "-f", "procroute.holder"]).stdout.split()
