"""What systemd and other people's units do to a whole machine: who is routed stays so, and nothing leaks."""

from __future__ import annotations

import time
from typing import Final

import pytest

from procroute.core.service_texts import PLACES
from tests.lab.systemd_box import SystemdBox
from tests.netns.running import until
from tests.systemd.household import BY_HAND, DENIED, OF_UNITS, SPOKEN, UNITS, Household, household
from tests.systemd.unit_rules import holds_first_programs

promise = pytest.mark.promise
NETWORKD: Final = "systemd-networkd.service"
DROP_IN: Final = PLACES["networkd.conf.d/50-procroute.conf"]
MANAGED: Final = "[Match]\nName=ve0\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
RESCUE: Final = "household-rescue.target"


def daemon_reload(home: Household) -> None:
    home.box.run(["systemctl", "daemon-reload"], check=True)
    home.box.as_ada(["systemctl", "--user", "daemon-reload"], check=True)


def daemon_reexec(home: Household) -> None:
    """More than once, or no start falls into it: systemd answers nobody then."""
    for _ in range(5):
        home.box.run(["systemctl", "daemon-reexec"], check=True)
        time.sleep(0.2)
    home.box.as_ada(["systemctl", "--user", "daemon-reexec"], check=True)


def flush_by_another_unit(home: Household) -> None:
    home.box.run(["systemd-run", "--wait", "--quiet", "nft", "flush", "ruleset"], check=True)


def networkd(home: Household) -> None:
    """It takes nothing of ours away, so there is nothing to repair."""
    before = repairs(home)
    begin_anew(home)
    home.await_round(rounds=5)
    assert repairs(home) == before


def begin_anew(home: Household) -> None:
    """Networkd, with an adapter to look after that is new to it: then it takes away what it does not know.

    Once it is there already, and once it comes later: without udev 252 may set up adapters that are there
    before it has asked for the rules (networkd-manager.c, manager_enumerate: links first), and so know none.
    """
    home.box.run(["systemctl", "stop", NETWORKD], check=True)
    home.box.sh("mkdir -p /etc/systemd/network")
    home.box.path("/etc/systemd/network/10-ve0.network").write_text(MANAGED)
    for step in ("start", "is-active"):
        home.box.sh("ip link del ve0 2>/dev/null; ip link add ve0 type veth peer name ve1")
        home.box.sh("ip link set ve1 up")
        home.box.run(["systemctl", step, NETWORKD], check=True)


def repairs(home: Household) -> int:
    """How often the daemon has told that it put back ip rules or entries of our tables."""
    home.box.run(["journalctl", "--sync"])
    lines = home.box.sh("journalctl --no-pager -o cat -u procrouted").splitlines()
    told = (line for line in lines if "repaired in" in line)
    return sum("ip rule" in line or "of our tables" in line for line in told)


@promise("SERVICE-08")
def test_all_who_are_routed_speak_on(box: SystemdBox) -> None:
    with household(box) as home:
        for happens in (daemon_reload, daemon_reexec, flush_by_another_unit, networkd):
            home.listen()
            happens(home)
            home.assert_all_went_well()
            assert home.are_routed(), happens
        without_the_drop_in(home)
        box.run(["systemctl", "stop", NETWORKD], check=True)
        isolated_and_back(home)


def without_the_drop_in(home: Household) -> None:
    """It deletes our rules, as the repair tells; what is sent meanwhile fails, and leaks nowhere."""
    before = repairs(home)
    home.box.sh(f"mv {DROP_IN} /run/drop-in")
    home.listen()
    begin_anew(home)
    until(lambda: repairs(home) > before, what="the repair")
    home.assert_nothing_leaked()
    home.box.sh(f"mv /run/drop-in {DROP_IN}")


def isolated_and_back(home: Household) -> None:
    """Services end, but for the daemon, whose socket stays; who is in a scope lives on. Back again all are
    routed as before."""
    box = home.box
    rescue = "[Unit]\nAllowIsolate=yes\nRequires=basic.target\nAfter=basic.target\n"
    box.path(f"{UNITS}/{RESCUE}").write_text(rescue)
    box.run(["systemctl", "daemon-reload"], check=True)
    scopes = [name for name in BY_HAND if name != "place"]
    before = home.daemon()
    home.listen()
    box.run(["systemctl", "isolate", RESCUE], check=True)
    assert home.daemon() == before
    assert box.unit_property("probed-unit.service", "ActiveState") == "inactive"
    home.assert_all_went_well(scopes)
    if not holds_first_programs(box):  # a unit whose program no rule names is met by news
        box.sh(f"touch {SPOKEN}/unit.wait")
    box.run(["systemctl", "isolate", "multi-user.target"], check=True)
    home.assert_all_went_well(scopes)
    until(lambda: home.are_routed([*scopes, *OF_UNITS]), what="that all are on their route")
    box.sh(f"rm -f {SPOKEN}/unit.wait")
    home.assert_all_went_well([*scopes, *OF_UNITS], but={DENIED}, lived=False)
