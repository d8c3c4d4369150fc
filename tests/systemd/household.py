"""One of each kind that is routed, on a machine with the daemon installed, all of whom speak without a pause.

    with household(box) as home:
        home.listen()
        box.run(["systemctl", "restart", "procrouted"])
        home.assert_all_went_well()

All of them are on wan1, and main prefers wan2. By whom each is there: MEMBERS.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from procroute.identity import Identity
from procroute.kernel import owners, programs
from procroute.lab import WAN1
from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.holding import PLACE
from tests.netns.holding import programs as make_programs
from tests.netns.ruled import FOLDER, script
from tests.netns.running import ENVIRONMENT, PROCROUTE, run_by, until
from tests.netns.traffic import FAMILIES, SERVER, elsewhere
from tests.systemd.daemons import AS_ADA, UNIT

SPOKEN: Final = "/run/spoken"
HERE: Final = "/opt/household"
"""Where its programs are: they outlive a reboot."""
WRAP: Final = f"{HERE}/wrap"
UNITS: Final = "/etc/systemd/system"
_TALKER: Final = (PROCROUTE[0], "-S", str(Path(__file__).with_name("talker.py")))
_DNS: Final = (WAN1.dns4, WAN1.dns6)

OF_UNITS: Final = ("unit", "program", "user", "starts")
"""Who is there by rule, and comes by himself at boot: a unit, a program, what ada runs; and programs that
are started over and over."""
BY_HAND: Final = ("run", "run by ada", "place", "moved")
"""Under `run`; a unit in place by `assign`; and one who was moved by `assign`."""
MEMBERS: Final = (*BY_HAND, *OF_UNITS)

UNITS_OF: Final[Mapping[str, Sequence[str]]] = {"place": (), "unit": (), "program": (WRAP,), "starts": ()}
"""The members who are units of the system's, and by what each is started."""
WELL: Final = frozenset(
    {"kept tcp goes on", "kept udp wan1", "tcp wan1", "udp wan1", "name found", "start wan1"}
)
DENIED: Final = "start EPERM"
"""Of a program whose rule says so while nobody answers."""


def talks(name: str) -> list[str]:
    """The words that start a member's talker."""
    if name == "starts":
        return [*_TALKER, _file(name), "--", *(f"{HERE}/first{family}" for family in FAMILIES)]
    return [*_TALKER, _file(name), *SERVER.values()]


def _file(name: str) -> str:
    return f"{SPOKEN}/{name.replace(' ', '-')}"


class Household:
    """It. box: where."""

    def __init__(self, box: SystemdBox) -> None:
        self.box = box
        self._before: dict[str, tuple[int, int, Counter[str]]] = {}

    def procroute(self, *words: str) -> str:
        """A verb, which must succeed; what it wrote."""
        done = self.box.run([*PROCROUTE, *words], env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def are_routed(self, names: Collection[str] = MEMBERS) -> bool:
        """Whether the daemon has all of them among its assignments; but for programs that come and go."""
        found = json.loads(self.procroute("ps", "--json"))["assignments"]
        pids = {process["pid"] for one in found for process in one["processes"]}
        return all(self.spoken(name)[0] in pids for name in names if name != "starts")

    def daemon(self) -> str:
        """The PID of the daemon."""
        return self.box.unit_property(UNIT, "MainPID")

    def await_another(self, than: str) -> None:
        """Wait until another daemon serves."""
        until(
            lambda: (
                self.daemon() not in (than, "0") and self.box.unit_property(UNIT, "ActiveState") == "active"
            ),
            30,
            "another daemon",
        )

    def spoken(self, name: str) -> tuple[int, int, Counter[str]]:
        """Of a member: its PID, how many rounds it has spoken, and what came of them."""
        try:
            text = self.box.path(_file(name)).read_text()
        except FileNotFoundError:
            return 0, 0, Counter()
        told = json.loads(text)
        return told["pid"], told["rounds"], Counter(told["heard"])

    def await_round(self, names: Collection[str] = MEMBERS, rounds: int = 2) -> None:
        """Wait until each of them has spoken so many whole rounds more."""
        before = {name: self.spoken(name)[:2] for name in names}

        def done(name: str) -> bool:
            pid, number, _ = self.spoken(name)
            return number > (before[name][1] if pid == before[name][0] else 0) + rounds

        for name in names:
            until(lambda name=name: done(name), 20, f"a round of {name}")  # type: ignore[misc]

    def listen(self, names: Collection[str] = MEMBERS) -> None:
        """From now on it is noted what comes out, and what comes of it."""
        self.await_round(names)
        self._before = {name: self.spoken(name) for name in names}
        self.box.clear()

    def heard(self, name: str) -> dict[str, int]:
        """What a member has heard since `listen`; all, if it was started since."""
        pid, _, heard = self.spoken(name)
        before = self._before.get(name)
        return dict(heard - before[2] if before and before[0] == pid else heard)

    def assert_nothing_leaked(self) -> None:
        """Since `listen` nothing came out elsewhere, but what the kernel says for a member that has ended."""
        assert not (astray := elsewhere(self.box, "wan1", of_the_closed=False)), astray[:20]

    def assert_all_went_well(
        self, names: Collection[str] = MEMBERS, *, but: Collection[str] = (), lived: bool = True
    ) -> None:
        """Since `listen` nothing came out elsewhere, nothing failed, and nobody has ended; nor do they now.

        but: what may be heard besides; lived: whether they must be the same processes.
        """
        self.await_round(names)
        self.assert_nothing_leaked()
        for name in names:
            heard = self.heard(name)
            assert heard, name
            assert not {*heard} - WELL - {*but}, (name, heard)
            assert not lived or self.spoken(name)[0] == self._before[name][0], f"{name} has ended"

    def switch_off(self) -> None:
        """Take programs and belt away from all targets, and who holds starts. Nobody may put them back."""
        self.box.sh("nft delete table inet procroute")
        root = self.box.path("/sys/fs/cgroup")
        for place in {one.split()[0] for one in self.box.ask("attached")}:
            programs.detach(str(root / place.lstrip("/")))
        self.box.sh("kill -9 $(pgrep -f [p]rocroute.holder)")
        owners.put(root, Identity(), frozenset())


def _rules() -> str:
    way = f'via = "wan1"\ndns = {json.dumps(_DNS)}\n'
    conditions = [
        'unit = "probed-unit"',
        f'exe = "{WRAP}"',
        *(f'exe = "{HERE}/first{family}"' for family in FAMILIES),
        f'user = "{ADA}"',
    ]
    return "".join(f"[[rule]]\n{one}\n{way}{_when_down(one)}\n" for one in conditions)


def _when_down(condition: str) -> str:
    return 'when_down = "deny"\n' if "first" in condition else ""


def _unit(name: str, *words: str) -> str:
    return (
        "[Unit]\nStartLimitIntervalSec=0\nWants=network-online.target\nAfter=network-online.target\n"
        f"[Service]\nExecStart={shlex.join([*words, *talks(name)])}\n[Install]\nWantedBy=multi-user.target\n"
    )


def _furnish(box: SystemdBox) -> None:
    """Programs, rules and units, also those that are there at the next boot."""
    make_programs(box)
    box.sh(f"mkdir -p {HERE} && cp {PLACE}/first* {HERE}; mkdir -p {FOLDER}")
    script(box, WRAP)
    box.path(f"{FOLDER}/50-household.toml").write_text(_rules())
    box.path("/etc/tmpfiles.d/spoken.conf").write_text(f"d {SPOKEN} 1777 root root -\n")
    box.sh("systemd-tmpfiles --create spoken.conf")
    for name, words in UNITS_OF.items():
        box.path(f"{UNITS}/probed-{name}.service").write_text(_unit(name, *words))
    its = "/etc/systemd/user"
    wanted = f"{its}/default.target.wants"
    text = f"[Service]\nExecStart={shlex.join(talks('user'))}\n"
    box.sh(f"mkdir -p {wanted} && ln -sf {its}/probed-user.service {wanted}/")
    box.path(f"{its}/probed-user.service").write_text(text)
    box.run(["systemctl", "daemon-reload"], check=True)
    # Not who is in place by `assign`: the next start of that unit is a bystander.
    box.run(
        ["systemctl", "enable", "--quiet", *(f"probed-{name}" for name in UNITS_OF if name in OF_UNITS)],
        check=True,
    )


@contextlib.contextmanager
def household(box: SystemdBox) -> Iterator[Household]:
    """All of them are on their route, and speak. The daemon is installed by `procroute service install`."""
    home = Household(box)
    _furnish(box)
    home.procroute("service", "install")
    box.sh("usermod -aG procroute ada")
    box.sh(" ".join(["touch", *(f"{_file(name)}.wait" for name in MEMBERS)]))
    box.run(["systemctl", "start", *(f"probed-{name}" for name in UNITS_OF)], check=True)
    box.as_ada(["systemctl", "--user", "daemon-reload"])
    box.as_ada(["systemctl", "--user", "start", "probed-user"], check=True)
    moved = box.popen(talks("moved"))
    dns = ("--dns", ",".join(_DNS))
    runs = [
        box.popen([*before, *run_by("wan1", *dns), *talks(name)], env=ENVIRONMENT)
        for name, before in {"run": (), "run by ada": AS_ADA}.items()
    ]
    until(lambda: home.spoken("moved")[0], 20, "who is to be moved")
    home.procroute("assign", str(home.spoken("moved")[0]), "--via", "wan1", *dns)
    home.procroute("assign", "--unit", "probed-place", "--via", "wan1", *dns)
    until(home.are_routed, 20, "that all are on their route")
    box.sh(f"rm {SPOKEN}/*.wait")  # what they keep open is opened there
    yield home
    for one in (moved, *runs):
        one.kill_session()
        one.wait(10)
