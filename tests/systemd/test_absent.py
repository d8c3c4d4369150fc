"""Units whose route leads to an adapter that is not there yet."""

from __future__ import annotations

import shlex

import pytest

from procroute.lab.topology import VPN
from tests.lab.systemd_box import SystemdBox
from tests.netns.holding import first, programs
from tests.netns.running import until
from tests.netns.traffic import FAMILIES, gateway
from tests.systemd.daemons import Daemon
from tests.systemd.unit_rules import came_out, rules, unit_file, unit_rule

_UNITS = {"probed-plain": 'via = "vpn0"', "probed-strict": 'via = "vpn0"\nstrict = true'}


def said(box: SystemdBox, router: str) -> int:
    """By how many of a unit's connections this was met, of the unit that met it least often."""
    texts = (box.sh(f"touch /run/{unit}; cat /run/{unit}") for unit in _UNITS)
    return min(text.count(f'"router": "{router}"') for text in texts)


@pytest.mark.promise("ABSENT-01")
def test_units_go_nowhere_until_it_comes_and_then_by_it(running: Daemon) -> None:
    """They run on meanwhile: nothing is started anew."""
    box = running.box
    programs(box)
    rules(running, "".join(unit_rule(unit, way=way) for unit, way in _UNITS.items()))
    connects = f"sleep 1; while true; do {first(4)}; {first(6)}; sleep 0.2; done"
    for unit in _UNITS:
        out = f"StandardOutput=append:/run/{unit}"
        unit_file(box, f"{unit}.service", f"ExecStart=sh -c {shlex.quote(connects)}", out)
    box.clear()
    box.run(["systemctl", "start", *_UNITS], check=True)
    try:
        until(lambda: said(box, "none") >= 6)
        assert came_out(box) == {}, running.log()
        vpn = box.add(VPN)
        for family in FAMILIES:
            box.ip(f"-{family} route add default via {gateway(vpn, family)} dev vpn0 metric 9000")
        until(lambda: said(box, "vpn") >= 6)
        assert came_out(box).keys() == {"vpn0"}, running.log()
    finally:
        box.sh(f"systemctl stop {' '.join(_UNITS)}; rm -f /run/probed-*; ip link del vpn0 || true")
