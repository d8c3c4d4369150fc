"""procrouted as a service of a box's systemd, and ada, who may ask it.

with daemon(box) as running, placed(box, AS_ADA) as command:
    assert command.ask("tcp", to=SERVER[4]).router == "wan1"
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

from procroute.kernel import programs
from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.inhabitants import PROBE, RUN, Command, Inhabitant, commanded, start
from tests.netns.running import ENVIRONMENT, PROCROUTE, ROOT, until

UNIT: Final = "procrouted.service"
SOCKET: Final = "procrouted.socket"
UNITS: Final = "/run/systemd/system"
AS_ADA: Final = (
    *("setpriv", f"--reuid={ADA}", f"--regid={ADA}", "--init-groups", "env"),
    *(f"XDG_RUNTIME_DIR=/run/user/{ADA}", f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{ADA}/bus"),
)
"""The words before a command of hers; it is in no session."""
ADAS_MANAGER: Final = f"/user.slice/user-{ADA}.slice/user@{ADA}.service"


class Daemon:
    """A running procrouted."""

    def __init__(self, box: SystemdBox) -> None:
        self.box = box

    def start(self) -> None:
        """Start it by systemd, which knows when it serves."""
        self.box.run(["systemctl", "reset-failed", UNIT])
        assert self.box.run(["systemctl", "start", UNIT]).returncode == 0, self.log()

    def state(self) -> str:
        """Active, inactive, failed …"""
        return self.box.unit_property(UNIT, "ActiveState")

    def log(self) -> str:
        """What it has said since it was started last."""
        self.box.run(["journalctl", "--sync"])
        here = self.box.unit_property(UNIT, "InvocationID")
        which = [f"_SYSTEMD_INVOCATION_ID={here}"] if here else ["-u", UNIT]
        return self.box.run(["journalctl", "--no-pager", "-o", "cat", *which]).stdout

    def kill(self) -> None:
        """End it as a crash does."""
        self._signal("KILL")
        until(lambda: self.state() not in ("active", "deactivating"), what="the daemon's death")
        self.box.run(["systemctl", "stop", SOCKET])  # who asks would start another one

    def stop(self) -> None:
        """End it as systemd does; one that has ended is fine."""
        self.box.run(["systemctl", "stop", SOCKET, UNIT])

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it repair nothing (SIGSTOP)."""
        self._signal("STOP")
        try:
            yield
        finally:
            self._signal("CONT")

    def _signal(self, name: str) -> None:
        # Not the holder of execs, which is in the same unit.
        self.box.run(["systemctl", "kill", "--kill-whom=main", f"--signal={name}", UNIT], check=True)

    def switch_off(self, command: Command) -> None:
        """Take mark, belt and guard off the target that a command is in."""
        command.changes_marks = True
        self.box.sh("nft delete table inet procroute 2>/dev/null || true")
        programs.detach(command.target, ("mark", "guard"))

    def ps(self, *options: str) -> list[dict[str, Any]]:
        """The assignments, as root sees them."""
        answer = self.box.run([*PROCROUTE, "ps", "--json", *options], env=ENVIRONMENT)
        assert answer.returncode == 0, answer.stderr
        found: list[dict[str, Any]] = json.loads(answer.stdout)["assignments"]
        return found

    def ask(self, *words: str, before: Sequence[str] = ()) -> str:
        """A verb of procroute's, which must succeed; what it wrote. before: the words to become somebody."""
        done = self.box.run([*before, *PROCROUTE, *words], env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def installed(box: SystemdBox, *units: str, more: str = "") -> Iterator[None]:
    """These units as they are shipped, for this interpreter and source. more: lines of [Service] besides."""
    box.sh("getent group procroute >/dev/null || groupadd --system procroute; usermod -aG procroute ada")
    box.sh(f"mkdir -p {UNITS}/{UNIT}.d")
    for name in units:
        box.path(f"{UNITS}/{name}").write_text((ROOT / "systemd" / name).read_text())
    words = shlex.join(PROCROUTE)
    own = f"[Service]\nEnvironment=PYTHONPATH={ROOT}\nExecStart=\nExecStart={words} daemon\n"
    own += f"ExecReload=\nExecReload={words} reload\n{more}"
    box.path(f"{UNITS}/{UNIT}.d/here.conf").write_text(own)
    box.run(["systemctl", "daemon-reload"], check=True)
    try:
        yield
    finally:
        box.run(["systemctl", "stop", *units])
        box.sh(f"cd {UNITS} && rm -rf {UNIT}.d {' '.join(units)}; systemctl daemon-reload")
        box.sh(f"systemctl reset-failed {' '.join(units)} 2>/dev/null || true")
        # Its folder is the service's, and stays; with the socket in it the lock does as well.
        box.sh("cd /run/procroute 2>/dev/null && rm -f lock && rmdir --ignore-fail-on-non-empty $PWD || true")


@contextlib.contextmanager
def daemon(box: SystemdBox) -> Iterator[Daemon]:
    """A daemon that ada may ask, by the unit that is shipped, in its sandbox; one that was killed stays dead.
    In the end it is stopped, and must not have told of any fault."""
    with installed(box, SOCKET, UNIT, more="Restart=no\n"):
        running = Daemon(box)
        running.start()
        try:
            yield running
        finally:
            said = running.log()
            running.stop()
    assert "Traceback" not in said, said
    assert "was not served" not in said, said


@contextlib.contextmanager
def placed(
    box: SystemdBox, before: Sequence[str] = (), *options: str, via: str = "wan1"
) -> Iterator[Command]:
    """A probe under `procroute run`, which the daemon placed. before: the words to become somebody."""
    with commanded(box, [*before, *RUN, "--via", via, *options, "--", *PROBE]) as command:
        yield command


@contextlib.contextmanager
def started(
    box: SystemdBox, *how: str, before: Sequence[str] = (), by: Sequence[str] = ()
) -> Iterator[Inhabitant]:
    """A probe that systemd-run has started with these options, in no slice of ours. by: a program that
    becomes the words after it."""
    words = [*before, "systemd-run", "--quiet", *how, f"--setenv=PYTHONPATH={ROOT}", *by]
    with start(box, [*words, *PROBE]) as (process, errors):
        living = Inhabitant(process, errors)
        living.ask("hello")
        try:
            yield living
        finally:
            living.end()
