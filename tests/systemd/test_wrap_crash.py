"""A wrapped unit is started while the daemon dies: by its next one it is on its route, and not given up."""

from __future__ import annotations

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import until
from tests.systemd.daemons import UNIT as DAEMON
from tests.systemd.services import Service, service
from tests.systemd.wrapped import ANCHOR, SPEAK, UNIT, out_by, systemctl, units, wrap

ONCE = ("Type=oneshot", f"ExecStart={SPEAK}")


def asks(box: SystemdBox, served: Service) -> bool:
    """Whether the anchor has the ear of the daemon that there is now: a connection to it beside its own."""
    inside = f"ss -xpn state connected 2>/dev/null | grep -c 'procroute.sock.*pid={served.main()},' || true"
    return int(box.sh(inside)) > 0


@pytest.mark.promise("UNIT-12")
def test_a_daemon_that_dies_while_it_is_asked_costs_no_start(box: SystemdBox) -> None:
    """Nobody starts a oneshot of a timer's again, as Restart= does others."""
    with service(box) as served, units(box, {UNIT: ONCE}):
        wrap(box, UNIT)
        served.start()
        box.clear()
        writing = box.popen(["flock", "/run/procroute/lock", "sleep", "1000"])  # so it has to wait
        try:
            systemctl(box, "start", "--no-block", UNIT)
            until(lambda: asks(box, served), 30, "a question of the anchor's")
            before = served.main()
            systemctl(box, "kill", "--kill-whom=main", "--signal=KILL", DAEMON)
            until(lambda: served.main() not in (before, "0"), 30, "another daemon")
        finally:
            writing.kill_session()
            writing.wait(10)
        until(lambda: min(out_by(box, "wan1").values()) == 1, 30, "its packets")
        assert out_by(box, "wan2") == {4: 0, 6: 0}
        until(lambda: box.unit_property(UNIT, "ActiveState") == "inactive", what="its end")
        assert box.unit_property(UNIT, "Result") == "success"
        until(lambda: box.unit_property(ANCHOR, "ActiveState") == "inactive", what="the anchor's")
