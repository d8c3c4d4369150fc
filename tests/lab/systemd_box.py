"""A lab whose machine is run by a real systemd: Debian 12's (252) or 13's (257).

    with SystemdBox("trixie") as box:
        box.run(["systemd-run", "--wait", "true"], check=True)

Everything of a Lab is there: uplinks, captures, servers. The user ada (uid 1000) lingers: her manager runs.
Not there: controllers (MemoryMax= does nothing), udev; the kernel is the host's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from procroute.errors import ProcrouteError
from procroute.lab import Lab
from procroute.lab.machine import PACKAGE_ROOT

Suite = Literal["bookworm", "trixie"]
SYSTEMD: Final = {"bookworm": 252, "trixie": 257}
ADA: Final = 1000
_ROOTS: Final = Path(PACKAGE_ROOT, "build/roots")
_PATIENCE: Final = 30.0
"""Seconds for a boot, which takes one on a quiet machine."""


class SystemdBox(Lab):
    """A Lab with systemd; options as there, but neither `keep` nor `cgroup`.

    Raises ProcrouteError lab-failed, too, where tests/lab/roots has not made the suite's root file system.
    """

    KEEPER: ClassVar = "tests.lab.systemd_keeper"

    def __init__(self, suite: Suite, **options: Any) -> None:
        super().__init__(**options)
        self.suite: Suite = suite

    def __enter__(self) -> Self:
        if not (_ROOTS / self.suite).is_dir():
            raise ProcrouteError("lab-failed", f"there is no {_ROOTS / self.suite}", "make test makes it")
        super().__enter__()
        try:
            self._wait_until_booted()
            # A first transient unit, for which systemd makes directories that stay.
            self.run(["systemd-run", "--quiet", "--wait", "true"], check=True)
        except BaseException:
            self.close()
            raise
        return self

    def as_ada(self, command: Sequence[str], **surroundings: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as ada, with her manager and bus at hand, from a cgroup of no session."""
        environment = {
            "HOME": "/home/ada",
            "USER": "ada",
            "LOGNAME": "ada",
            "XDG_RUNTIME_DIR": f"/run/user/{ADA}",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{ADA}/bus",
        } | surroundings.pop("env", {})
        words = ["setpriv", f"--reuid={ADA}", f"--regid={ADA}", "--init-groups", "--", *command]
        return self.run(words, env=environment, **surroundings)

    def units(self, pattern: str, *, user: bool = False) -> dict[str, str]:
        """The loaded units of a pattern: name → active state."""
        words = ["systemctl", "list-units", "--all", "--plain", "--no-legend", pattern]
        done = self.as_ada([*words, "--user"]) if user else self.run(words)
        lines = (line.split() for line in done.stdout.splitlines())
        return {line[0]: line[2] for line in lines if len(line) > 2}

    def unit_property(self, unit: str, name: str, *, user: bool = False) -> str:
        """A property of a unit, as systemctl(1) shows it."""
        words = ["systemctl", "show", "--value", f"--property={name}", unit]
        done = self.as_ada([*words, "--user"]) if user else self.run(words)
        return done.stdout.strip()

    def _machine_options(self) -> dict[str, object]:
        return {
            "root": str(_ROOTS / self.suite),
            "checkout": PACKAGE_ROOT,
            "interpreter": sys.executable,
        }

    def _wait_until_booted(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        said = ""
        while time.monotonic() < deadline:
            done = self.run(["systemctl", "is-system-running"])
            said = (done.stdout + done.stderr).strip()
            if said in ("running", "degraded") and self.path(f"/run/user/{ADA}/bus").exists():
                return
            time.sleep(0.05)
        raise ProcrouteError("lab-failed", f"systemd of {self.suite} did not come up: {said}")
