"""A bridge's port is no way out; the bridge is."""

from __future__ import annotations

import pytest

from procroute.lab import WAN1, Lab
from tests.netns.inhabitants import routed
from tests.netns.running import procroute, unchanged
from tests.netns.traffic import WAYS, astray

promise = pytest.mark.promise


def bridged(lab: Lab) -> None:
    """Put wan1 below a bridge that takes over its addresses and gateways."""
    lab.ip("link add br0 type bridge")
    lab.ip("link set br0 up")
    lab.ip("link set wan1 master br0")
    lab.ip("address flush dev wan1")
    lab.ip(f"address add {WAN1.address4}/24 dev br0")
    lab.ip(f"-6 address add {WAN1.address6}/64 dev br0 nodad")
    lab.ip(f"route add default via {WAN1.gateway4} dev br0 metric 200")
    lab.ip(f"-6 route add default via {WAN1.gateway6} dev br0 metric 2000")


@promise("ERR-10")
def test_the_port_is_refused_and_the_bridge_named() -> None:
    with Lab(main="both") as lab:
        bridged(lab)
        with unchanged(lab):
            done = procroute(lab, "run", "--via", "wan1", "--", "echo", "it ran")
        assert (done.returncode, done.stdout) == (125, "")
        assert "wan1 is a part of br0 (bridge)" in done.stderr
        assert "--via br0" in done.stderr


@promise("ERR-10", "PATH-01", "PATH-03", "NEG-01")
@pytest.mark.parametrize("family", [4, 6])
def test_the_bridge_is_a_way_out(family: int) -> None:
    with Lab(main="both") as lab:
        bridged(lab)
        with unchanged(lab), routed(lab, via="br0") as command:
            for way in WAYS:
                assert not astray(lab, command, way, family, lab.wan1)
            command.switch_off("mark", "guard")
            assert astray(lab, command, "tcp", family, lab.wan1)
