"""procrouted by the unit files that are shipped, as they are: started by its socket, started anew.

with service(box) as served:
    served.start()
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import until
from tests.systemd.daemons import SOCKET, UNIT, Daemon, installed


class Service(Daemon):
    """The service."""

    def main(self) -> str:
        """The PID of its main process."""
        return self.box.unit_property(UNIT, "MainPID")

    def until_another(self, than: str, seconds: float = 30) -> None:
        """Wait until another process serves."""
        until(lambda: self.main() not in (than, "0") and self.state() == "active", seconds, "another daemon")


@contextlib.contextmanager
def service(box: SystemdBox, more: str = "") -> Iterator[Service]:
    """Nobody has asked for it yet. more: lines of [Service] besides."""
    with installed(box, SOCKET, UNIT, more=more):
        box.run(["systemctl", "start", SOCKET], check=True)
        served = Service(box)
        yield served
        assert "Traceback" not in served.log(), served.log()
