"""Many units that start at once, while the daemon asks systemd for something as well."""

from __future__ import annotations

import time
from typing import Final

import pytest

from procroute.lab.patience import FACTOR
from tests.netns.holding import first, programs
from tests.netns.running import until
from tests.systemd.daemons import Daemon
from tests.systemd.unit_rules import came_out, holds_first_programs, rules, unit_files, unit_rule

promise = pytest.mark.promise
_UNITS: Final = 20
_ROUNDS: Final = 6
_PROGRAMS: Final = f'exe = ["{first(4)}", "{first(6)}"]'


@promise("RULE-65")
@pytest.mark.parametrize("more", ["", _PROGRAMS], ids=["unit", "unit and exe"])
def test_while_rules_are_edited(running: Daemon, more: str) -> None:
    """Their rule moves in its file, another one comes and goes, and with it a route, for whose slice systemd
    is asked; in the middle that reads its files again."""
    box = running.box
    if not more and not holds_first_programs(box):
        pytest.skip("what a systemd of this age starts is found by news (RULE-60)")
    programs(box)
    units = [f"probed{n}.service" for n in range(_UNITS)]
    both = (f"ExecStartPre={first(4)}", f"ExecStart={first(6)}")
    unit_files(box, dict.fromkeys(units, ("Type=oneshot", *both)))
    its, another = unit_rule("probed*", more=more), unit_rule("nobody", way='via = "wan2"')
    rules(running, its)
    box.clear()
    for number in range(_ROUNDS):
        box.sh(f"systemctl start --no-block {' '.join(units)}")
        rules(running, "\n" * (number % 3) + ("" if number % 2 else another) + its)
        if number == _ROUNDS // 2:
            box.run(["systemctl", "daemon-reload"], check=True)
    until(lambda: "probed" not in box.run(["systemctl", "list-jobs"]).stdout, 30, "the end of their starts")
    out = came_out(box)
    assert out.keys() == {"wan1"}, (out, running.log())
    assert out["wan1"] >= 2 * _UNITS
    assert not box.units("probed*").keys() & set(box.run(["systemctl", "--failed", "--plain"]).stdout.split())


@promise("RULE-66")
def test_process_1_does_not_wait(running: Daemon) -> None:
    """It answers while the program that it has started for a unit is held."""
    box = running.box
    programs(box)
    unit_files(box, {"probed.service": ("Type=oneshot", f"ExecStart={first(4)}")})
    rules(running, unit_rule("probed"))
    box.clear()
    with running.stopped():
        box.run(["systemctl", "start", "--no-block", "probed"], check=True)
        time.sleep(0.1)
        began = time.monotonic()
        state = box.unit_property("probed", "ActiveState")
        took = time.monotonic() - began
        until(lambda: box.unit_property("probed", "ActiveState") == "inactive", what="its end")
    if holds_first_programs(box):
        assert state == "activating", "it was held, and is let go as nobody answers"
    assert took < 0.4 * FACTOR
    assert came_out(box).keys() == {"wan2"}
