"""The unit files that are shipped, in the order of a boot: before whoever waits for the network."""

from __future__ import annotations

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.systemd.daemons import SOCKET, UNIT, UNITS
from tests.systemd.services import service

promise = pytest.mark.promise

ONLINE = "network-online.target"
BOOT = "booted.target"
SLOW = "ExecStartPre=/bin/sleep 1\n"


def verified(box: SystemdBox) -> str:
    """What systemd finds wrong with our units, and with a boot that starts them and waits for the network."""
    done = box.run(["systemd-analyze", "verify", "--man=no", UNIT, SOCKET, ONLINE, "multi-user.target"])
    said = done.stdout + done.stderr
    return "\n".join(line for line in said.splitlines() if "procroute" in line or "cycle" in line)


def started_first(box: SystemdBox) -> bool:
    """Whether the daemon is active before the network is online, when one transaction starts both."""
    box.path(f"{UNITS}/{BOOT}").write_text(f"[Unit]\nWants={ONLINE} {UNIT}\nAfter={ONLINE} {UNIT}\n")
    box.run(["systemctl", "daemon-reload"], check=True)
    box.run(["systemctl", "stop", BOOT, ONLINE, UNIT, SOCKET], check=True)
    box.run(["systemctl", "start", BOOT], check=True)
    daemon, online = (int(box.unit_property(u, "ActiveEnterTimestampMonotonic")) for u in (UNIT, ONLINE))
    assert daemon, "it never was active"
    assert online, "it never was active"
    return daemon < online


@promise("SERVICE-10")
def test_it_serves_before_the_network_is_online(box: SystemdBox) -> None:
    """Control: the same without the unit's word of the order."""
    with service(box, SLOW):
        assert verified(box) == ""
        assert started_first(box)
        unit = box.path(f"{UNITS}/{UNIT}")
        unit.write_text(unit.read_text().replace(f"Before={ONLINE} ", "Before="))
        assert not started_first(box)
    box.run(["systemctl", "stop", BOOT, ONLINE], check=True)
    box.sh(f"rm {UNITS}/{BOOT}; systemctl daemon-reload")


@promise("SERVICE-10")
def test_its_order_has_no_cycle(box: SystemdBox) -> None:
    """Control: one that waits for what it is before."""
    with service(box):
        assert verified(box) == ""
        assert "cycle" not in box.run(["journalctl", "--no-pager", "-b", "-t", "systemd"]).stdout
    with service(box, more=f"[Unit]\nAfter={ONLINE}\n"):
        assert "cycle" in verified(box)
