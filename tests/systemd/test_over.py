"""User-space tunnels over a route, where systemd starts who speaks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.running import until
from tests.netns.tunnelling import DEVICE, END, ENDPOINT, PORT, outer, servers
from tests.systemd.daemons import Daemon, daemon
from tests.systemd.unit_rules import holds_first_programs, unit_file

promise = pytest.mark.promise
CONFIG = "/etc/procroute/config.toml"


@pytest.fixture
def running(box: SystemdBox) -> Iterator[Daemon]:
    """A daemon, servers of the tunnel, and a unit that is its client, not started yet."""
    words = " ".join([*END, DEVICE, "client", ENDPOINT[4], str(PORT)])
    unit_file(box, "probed-vpn.service", f"ExecStart=/bin/sh -c 'sleep infinity | exec {words}'")
    box.sh("mkdir -p /etc/procroute")
    try:
        with servers(box), daemon(box) as running:
            yield running
            configure(running, "")
            box.sh("systemctl stop probed-vpn")
    finally:
        with contextlib.suppress(FileNotFoundError):
            box.path(CONFIG).unlink()
        box.sh("systemctl stop probed-vpn; rm -f /run/systemd/system/probed*; systemctl daemon-reload")


def configure(running: Daemon, *lines: str) -> None:
    """Have this hold of the tunnel."""
    text = "\n".join((f"[adapter.{DEVICE}]", *lines, "")) if any(lines) else ""
    running.box.path(CONFIG).write_text(text)
    running.ask("reload")


def started(box: SystemdBox) -> dict[str, int]:
    """By which uplinks outer packets left when the unit was started."""
    box.clear()
    box.run(["systemctl", "restart", "probed-vpn"], check=True)
    until(lambda: DEVICE in box.ip("link"), what="the device")
    return outer(box)


@promise("OVER-03")
def test_the_unit_follows_as_a_whole(running: Daemon) -> None:
    """It is found by the device; main prefers wan2."""
    box = running.box
    configure(running, 'over = "wan1"')
    assert "wan2" in started(box), "its first packet, before it has the device"
    until(lambda: [(p["route"], p["rule"]) for p in running.ps()] == [("wan1", f"[adapter.{DEVICE}] over")])
    box.ip(f"link set {DEVICE} up")
    box.clear()
    box.ip(f"address add 10.77.0.2 peer 10.77.0.1 dev {DEVICE}")
    box.run(["ping", "-c1", "-W1", "10.77.0.1"])
    assert outer(box).keys() == {"wan1"}


@promise("OVER-04")
def test_from_its_first_packet_on_where_the_unit_is_named(running: Daemon) -> None:
    box = running.box
    configure(running, 'over = "wan1"', 'over_unit = "probed-vpn"')
    came = [started(box) for _ in range(3)]
    if holds_first_programs(box):
        assert [one.keys() for one in came] == [{"wan1"}] * 3, running.log()
    until(lambda: [(p["route"], p["in_place"]) for p in running.ps()] == [("wan1", True)])
