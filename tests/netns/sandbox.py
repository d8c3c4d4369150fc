"""Tests of tests/netns with each daemon in the sandbox of the unit that is shipped: a plugin of pytest.

    PROCROUTE_SANDBOX=bookworm python -m pytest -p tests.netns.sandbox tests/netns/test_rules_held.py

Every lab's machine is then run by a systemd (trixie's unless said), which starts the daemon with what
[Service] says; who is asked for by its words is started as it is. PROCROUTE_PROGRAMS: the folder for
programs of rules and of held starts, e.g. /home/programs or /tmp/programs. PROCROUTE_SANDBOX_LINE: one more
line for [Service], by which a test can see what goes red. `make test-sandbox` runs what the unit is held to;
tests marked `not_sandboxed` are left out.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self, Unpack

import pytest

import procroute.lab
from procroute.lab.commands import Process, Surroundings
from tests.lab.systemd_box import SystemdBox

_UNIT: Final = Path(__file__).parents[2] / "systemd" / "procrouted.service"
_OWN: Final = ("Exec", "Restart")
"""What a test says itself: whom to start, and when."""
_SUITE: Final = os.environ.get("PROCROUTE_SANDBOX", "trixie")
_MORE: Final = os.environ.get("PROCROUTE_SANDBOX_LINE", "")
_numbers: Final = itertools.count(1)


def properties() -> list[str]:
    """The lines of [Service] that hold of whomever it starts."""
    service = _UNIT.read_text().split("[Service]\n")[1].split("\n[Install]")[0]
    lines = (line for line in service.splitlines() if line and not line.startswith("#"))
    return [line for line in (*lines, _MORE) if line and not line.startswith(_OWN)]


class Contained(Process):
    """A daemon that systemd has started; what waits for its end is systemd-run(1)."""

    procs: Path
    """Of the unit's cgroup: the daemon, and who holds starts for it."""

    def command_pid(self, seconds: float = 5) -> int:
        """The daemon's pid as the host counts. Raises ProcessLookupError if it has ended."""
        super().command_pid(seconds)
        for pid in _words(self.procs):
            if b"holder" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        raise ProcessLookupError(f"{self.args!r} has ended")


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


class Sandbox(SystemdBox):
    """A lab whose daemons are in the sandbox."""

    def __init__(self, **options: Any) -> None:
        super().__init__("bookworm" if _SUITE == "bookworm" else "trixie", **options)

    def __enter__(self) -> Self:
        super().__enter__()
        self.sh("chmod u+s /usr/bin/ping")  # as installed; the suite was unpacked without
        # What comes with the first unit and stays: RuntimeDirectory=, ConfigurationDirectory=, her bus.
        self.sh("mkdir -p /run/procroute /etc/procroute")
        self.as_ada(["systemd-run", "--user", "--quiet", "--wait", "true"], check=True)
        self.as_ada(["busctl", "--user", "list"], check=True)
        # Where tests.netns.daemons.for_users looks for an interpreter that users may run.
        python = Path(sys.executable).resolve()
        self.sh(f"mkdir -p {python.parent} && ln -sf /usr/bin/python3 {python}")
        return self

    def popen(
        self, command: Sequence[str | os.PathLike[str]], **surroundings: Unpack[Surroundings]
    ) -> Process:
        """Start `command`; a daemon by systemd."""
        words = [os.fspath(word) for word in command]
        if words[-1] != "daemon" and not any(word.endswith("_daemon.py") for word in words):
            return super().popen(command, **surroundings)
        name = f"daemon-{next(_numbers)}.service"
        said = [f"--property={line}" for line in properties()]
        ours = {key: value for key, value in os.environ.items() if key.startswith("PROCROUTE_")}
        known = [f"--setenv={key}={value}" for key, value in (ours | surroundings.get("env", {})).items()]
        run = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={name}"]
        process = super().popen([*run, *said, *known, "--", *words], **surroundings)
        process.__class__ = Contained
        assert isinstance(process, Contained)
        process.procs = self.path(f"/sys/fs/cgroup/system.slice/{name}/cgroup.procs")
        return process


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked so."""
    out = [item for item in items if item.get_closest_marker("not_sandboxed")]
    items[:] = [item for item in items if item not in out]
    config.hook.pytest_deselected(items=out)


procroute.lab.Lab = Sandbox  # type: ignore[misc]  # before any test has it by name
