"""While the daemon is stopped, started anew, replaced, or dead: nobody ends, nothing fails, nothing leaks."""

from __future__ import annotations

from typing import Final

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.systemd.daemons import SOCKET, UNIT
from tests.systemd.household import DENIED, MEMBERS, Household, household
from tests.systemd.releases import lay

promise = pytest.mark.promise


def restart(home: Household) -> None:
    home.box.run(["systemctl", "restart", UNIT], check=True)


def crash(home: Household) -> None:
    home.box.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT], check=True)


def stop_and_start(home: Household) -> None:
    home.box.run(["systemctl", "stop", UNIT, SOCKET], check=True)
    home.await_round(rounds=5)
    home.box.run(["systemctl", "start", UNIT], check=True)


def another_place(home: Household) -> None:
    """Another release lies elsewhere, and is asked to be the service."""
    at = lay(home.box, "/opt/newer")
    assert home.box.run([at, "service", "install"], cwd="/", check=True).stdout
    assert "/opt/newer/bin/python" in home.box.sh(f"tr '\\0' ' ' < /proc/{home.daemon()}/cmdline")


def in_its_place(home: Household) -> None:
    """As by `pip install --upgrade`: no unit file is another one, but the code is."""
    at = lay(home.box, "/opt/newer")
    assert not home.box.run([at, "service", "install"], cwd="/", check=True).stdout


EVENTS: Final = (restart, crash, stop_and_start, another_place, in_its_place)


@promise("SERVICE-07", "NEG-03")
def test_all_who_are_routed_speak_on(box: SystemdBox) -> None:
    """Through all of these in turn; and without programs and holder each of them would have been seen."""
    with household(box) as home:
        for happens in EVENTS:
            before = home.daemon()
            home.listen()
            happens(home)
            home.await_another(before)
            home.assert_all_went_well(but={DENIED})
            assert home.are_routed(), happens
        box.run(["systemctl", "stop", UNIT, SOCKET], check=True)
        home.listen()
        home.switch_off()
        home.await_round()
        for name in MEMBERS:
            assert {"tcp wan2", "start wan2"} & {*home.heard(name)}, (name, home.heard(name))
