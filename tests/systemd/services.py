"""procrouted by the unit files that are shipped, in a box's systemd.

with installed(box) as service:
    service.start()
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from typing import Final

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import PROCROUTE, ROOT, until
from tests.systemd.daemons import UNIT, Daemon

SOCKET: Final = "procrouted.socket"
_UNITS: Final = "/run/systemd/system"


class Service(Daemon):
    """The service."""

    def start(self) -> None:
        """Start it by systemd, which knows when it serves."""
        self.box.run(["systemctl", "start", UNIT], check=True)

    def main(self) -> str:
        """The PID of its main process."""
        return self.box.unit_property(UNIT, "MainPID")

    def until_another(self, than: str, seconds: float = 30) -> None:
        """Wait until another process serves."""
        until(lambda: self.main() not in (than, "0") and self.state() == "active", seconds, "another daemon")


@contextlib.contextmanager
def installed(box: SystemdBox, more: str = "") -> Iterator[Service]:
    """The units, for this interpreter and this source. more: lines of [Service] that are added."""
    box.sh("getent group procroute >/dev/null || groupadd --system procroute; usermod -aG procroute ada")
    box.sh(f"mkdir -p {_UNITS}/{UNIT}.d")
    for name in (UNIT, SOCKET):
        box.path(f"{_UNITS}/{name}").write_text((ROOT / "systemd" / name).read_text())
    words = shlex.join(PROCROUTE)
    own = f"[Service]\nEnvironment=PYTHONPATH={ROOT}\nExecStart=\nExecStart={words} daemon\n"
    own += f"ExecReload=\nExecReload={words} reload\n{more}"
    box.path(f"{_UNITS}/{UNIT}.d/here.conf").write_text(own)
    box.run(["systemctl", "daemon-reload"], check=True)
    box.run(["systemctl", "start", SOCKET], check=True)
    service = Service(box)
    try:
        yield service
        assert "Traceback" not in service.log(), service.log()
    finally:
        box.sh(f"systemctl stop {SOCKET} {UNIT}; rm -rf {_UNITS}/{UNIT} {_UNITS}/{SOCKET} {_UNITS}/{UNIT}.d")
        box.sh(f"systemctl daemon-reload; systemctl reset-failed {UNIT} {SOCKET} 2>/dev/null || true")
