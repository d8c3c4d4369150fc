"""Rules by unit and by application, where systemd starts and stops what they mean."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from procroute.kernel import programs as programs_of_bpf
from procroute.lab.topology import VPN
from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.holding import first, programs
from tests.netns.inhabitants import Inhabitant
from tests.netns.ruled import FOLDER
from tests.netns.running import until
from tests.netns.traffic import FAMILIES, SERVER, astray, both_families, gateway, own_address
from tests.systemd.daemons import ADAS_MANAGER, AS_ADA, UNIT, UNITS, Daemon, started
from tests.systemd.unit_rules import RULE, came_out, holds_first_programs, rules, unit_file, unit_rule

promise = pytest.mark.promise


def at_once(box: SystemdBox, family: int) -> None:
    """probed and probed-other, whose programs connect by their first system calls."""
    programs(box)
    for name in ("probed.service", "probed-other.service"):
        unit_file(box, name, "Type=oneshot", f"ExecStartPre={first(family)}", f"ExecStart={first(family)}")


def restarted(box: SystemdBox, count: int, unit: str = "probed") -> list[dict[str, int]]:
    """What came out at each of so many restarts of a unit."""
    found = []
    for _ in range(count):
        box.clear()
        box.run(["systemctl", "restart", unit], check=True)
        found.append(came_out(box))
    return found


@promise("RULE-60")
@both_families
def test_first_packets_of_a_unit(running: Daemon, family: int) -> None:
    """Of each of its starts, and of what it runs before the main program."""
    box = running.box
    at_once(box, family)
    assert [one.keys() for one in restarted(box, 1)] == [{"wan2"}]
    rules(running, unit_rule("probed"))
    its, other = restarted(box, 10), restarted(box, 1, "probed-other")
    assert all(its), "nothing was sent"
    if holds_first_programs(box):
        assert [one.keys() for one in its] == [{"wan1"}] * 10, running.log()
    else:
        assert {"wan2"} <= set().union(*its), "systemd of this age forks: it cannot be held"
    assert other[0].keys() == {"wan2"}
    assert {(one["how"], one["in_place"], one["rule"]) for one in running.ps()} <= {
        ("rule", True, f"{RULE}:1")
    }


@promise("RULE-60")
@both_families
def test_first_packets_of_an_application(running: Daemon, family: int) -> None:
    """As desktops start it: a service of the user's manager."""
    box = running.box
    programs(box)
    words = [*AS_ADA, "systemd-run", "--user", "--wait", "--collect", "--unit=app-org.example.service"]

    def launched() -> set[str]:
        box.clear()
        box.run([*words, first(family)], check=True)
        return set(came_out(box))

    assert launched() == {"wan2"}
    rules(running, '[[rule]]\napp = "org.example"\nvia = "wan1"\n')
    found = [launched() for _ in range(10)]
    if holds_first_programs(box):
        assert found == [{"wan1"}] * 10, running.log()
    else:
        assert {"wan2"} <= set().union(*found), "systemd of this age forks: it cannot be held"


@promise("RULE-60", "RULE-40")
@both_families
def test_first_packets_of_a_unit_whose_program_is_named(running: Daemon, family: int) -> None:
    """So it is held by any systemd; started by somebody else the program goes its own way."""
    box = running.box
    at_once(box, family)
    rules(running, unit_rule("probed", more=f'exe = "{first(family)}"'))
    assert [one.keys() for one in restarted(box, 10)] == [{"wan1"}] * 10, running.log()
    box.clear()
    box.run([first(family)], check=True)
    assert came_out(box).keys() == {"wan2"}


@promise("RULE-60")
def test_no_unit_is_denied_its_start(running: Daemon) -> None:
    """Neither where its route cannot be, nor where nobody answers."""
    box = running.box
    at_once(box, 4)
    bad = f'via = "wan1"\nstrict = true\ngateway4 = "{own_address(box.wan1, 4)}"'
    rules(running, unit_rule("probed", way=bad, more='when_down = "deny"'))
    assert [one.keys() for one in restarted(box, 1)] == [{"wan2"}]
    assert "is this machine's own address" in running.log()
    assert "denied" not in running.log()
    rules(running, unit_rule("probed", way='via = "wan1"\nstrict = true'))
    with running.stopped():
        assert [one.keys() for one in restarted(box, 2)] == [{"wan2"}] * 2
    if holds_first_programs(box):
        until(lambda: restarted(box, 1)[0].keys() == {"wan1"}, what="a start by its route")


@promise("RULE-60")
def test_a_unit_whose_adapter_has_gone_goes_nowhere(running: Daemon) -> None:
    """As with a VPN that has ended: its route is there, and started anew the unit follows it."""
    box = running.box
    programs(box)
    box.add(VPN)
    gateways = "\n".join(f'gateway{f} = "{gateway(box.uplinks["vpn0"], f)}"' for f in FAMILIES)
    rules(running, unit_rule("probed", way=f'via = "vpn0"\nstrict = true\n{gateways}'))
    routed = ["sh", "-c", f"sleep 1; {first(4)}; true"]
    unit_file(box, "probed.service", "Type=oneshot", f"ExecStart={shlex.join(routed)}")
    assert [one.keys() for one in restarted(box, 1)] == [{"vpn0"}]
    box.ip("link del vpn0")
    until(lambda: json.loads(running.ask("rules", "list", "--json"))["notes"])
    for _ in range(2):
        assert restarted(box, 1) == [{}], running.log()
    rules(running, "")
    assert [one.keys() for one in restarted(box, 1)] == [{"wan2"}]


@promise("RULE-60", "ABSENT-01")
@pytest.mark.parametrize("strict", ["strict = true", "strict = false"])
def test_a_unit_whose_adapter_has_not_come_goes_nowhere_until_it_has(running: Daemon, strict: str) -> None:
    """As at boot; it may have been started before, and goes on."""
    box = running.box
    programs(box)
    late = replace(VPN, adapter="late0", node="late")
    rules(running, unit_rule("probed", way=f'via = "late0"\n{strict}'))
    (note,) = json.loads(running.ask("rules", "list", "--json"))["notes"]
    assert "there is no adapter late0" in note
    both = f"{first(4)} && {first(6)}"
    tries = f"sleep 1; {first(4)}; {first(6)}; touch /run/tried; until {both}; do sleep 0.1; done"
    unit_file(box, "probed.service", f"ExecStart={shlex.join(['sh', '-c', tries])}")
    box.sh("rm -f /run/tried")
    box.clear()
    box.run(["systemctl", "restart", "probed"], check=True)
    until(lambda: box.path("/run/tried").exists())
    assert came_out(box) == {}, running.log()
    box.add(late)
    for family in FAMILIES:
        box.ip(
            f"-{family} route add default via {gateway(box.uplinks['late0'], family)} dev late0 metric 300"
        )
    is_over = ["systemctl", "is-active", "--quiet", "probed"]
    until(lambda: box.run(is_over).returncode, what="its end, when both families have connected")
    assert came_out(box).keys() == {"late0"}, running.log()
    rules(running, "")
    box.ip("link del late0")


@promise("RULE-61", "RULE-06")
@both_families
@pytest.mark.parametrize("order", ["exe first", "unit first"])
def test_a_program_and_its_unit_have_rules(running: Daemon, family: int, order: str) -> None:
    """The first that matches holds, for the first packets as well: by any systemd the exec is held."""
    box = running.box
    at_once(box, family)
    way = 'via = "wan2"\nstrict = true'
    exe, unit = f'[[rule]]\nexe = "{first(family)}"\n', '[[rule]]\nunit = "probed"\n'
    one, two = (exe, unit) if order == "exe first" else (unit, exe)
    rules(running, f'{one}via = "wan1"\n{two}{way}\n')
    assert [out.keys() for out in restarted(box, 5)] == [{"wan1"}] * 5, running.log()


@promise("RULE-41")
@both_families
@pytest.mark.parametrize(("when_down", "router"), [("deny", None), ("allow", "wan2")])
def test_a_program_of_a_unit_while_nobody_answers(
    running: Daemon, family: int, when_down: str, router: str | None
) -> None:
    box = running.box
    at_once(box, family)
    rules(running, f'[[rule]]\nexe = "{first(family)}"\nvia = "wan1"\nwhen_down = "{when_down}"\n')
    assert [one.keys() for one in restarted(box, 1)] == [{"wan1"}]
    with running.stopped():
        box.clear()
        done = box.run(["systemctl", "restart", "probed"])
        assert (done.returncode == 0) is (when_down == "allow")
        assert came_out(box).keys() == ({router} if router else set())
    until(lambda: goes_when_started(box) == {"wan1"}, what="a start by its route")


def goes_when_started(box: SystemdBox) -> set[str]:
    """By which adapters something came out; by none where it was not started."""
    box.clear()
    box.run(["systemctl", "restart", "probed"])
    return set(came_out(box))


UNIT_CASES: Final = [
    pytest.param("probed", ("--unit=probed.service",), (), id="service"),
    pytest.param("probed@home.service", ("--unit=probed@home.service",), (), id="instance"),
    pytest.param("probed@*", ("--unit=probed@home.service",), (), id="glob"),
    pytest.param("probed.slice", ("--unit=some.service", "--slice=probed.slice"), (), id="slice"),
    pytest.param("probed", ("--user", "--unit=probed.service"), AS_ADA, id="of-a-user"),
]
RUN: Final = ("--pipe", "--wait", "--collect")


def goes_by(box: SystemdBox, who: Inhabitant, adapter: str) -> None:
    """In both families."""
    for family in FAMILIES:
        for way in ("tcp", "unconnected"):
            assert not astray(box, who, way, family, box.uplinks[adapter])


@promise("RULE-61")
@pytest.mark.parametrize(("unit", "how", "before"), UNIT_CASES)
def test_a_unit_follows_in_place(
    running: Daemon, unit: str, how: Sequence[str], before: Sequence[str]
) -> None:
    box = running.box
    rules(running, unit_rule(unit))
    with (
        started(box, *RUN, *how, before=before) as its,
        started(box, *RUN, "--unit=probe.service") as beside,
    ):
        until(running.ps, what="its place on the route")
        (found,) = running.ps()
        cgroup = its.ask("hello").cgroup
        assert (found["in_place"], found["cgroup"], found["rule"]) == (True, cgroup, f"{RULE}:1")
        assert (found["owner"], cgroup.startswith(ADAS_MANAGER)) == ((ADA, True) if before else (0, False))
        goes_by(box, its, "wan1")
        goes_by(box, beside, "wan2")
        box.run(["systemctl", "daemon-reload"], check=True)
        goes_by(box, its, "wan1")
        running.kill()
        goes_by(box, its, "wan1")
        running.start()
        (again,) = running.ps()
        assert again == found
        goes_by(box, its, "wan1")
        with running.stopped():
            programs_of_bpf.detach(str(box.path(f"/sys/fs/cgroup{cgroup}")), ("mark", "guard"))
            box.sh("nft delete table inet procroute 2>/dev/null || true")
            for family in FAMILIES:
                assert astray(box, its, "tcp", family, box.wan1), "it was its own target that did it"
    until(lambda: not running.ps(), what="the end of the assignment")


@promise("RULE-61")
def test_units_of_one_name(running: Daemon) -> None:
    """The system has one, and so has ada: the administrator's rule is for both, hers for her own."""
    box = running.box
    mine = f"{FOLDER}/users/{ADA}/50-hers.toml"
    rules(running, "")
    with (
        started(box, *RUN, "--unit=probed.service") as its,
        started(box, *RUN, "--user", "--unit=probed.service", before=AS_ADA) as hers,
    ):
        box.sh(f"mkdir -p {FOLDER}/users/{ADA}")
        box.path(mine).write_text(unit_rule("probed"))
        running.ask("reload")
        running.ask("rules", "apply")
        (found,) = running.ps()
        assert (found["owner"], found["rule"]) == (ADA, f"{mine}:1")
        goes_by(box, hers, "wan1")
        goes_by(box, its, "wan2")
        rules(running, unit_rule("probed"))
        running.ask("rules", "apply")
        assert {one["cgroup"] for one in running.ps()} == {w.ask("hello").cgroup for w in (its, hers)}
        goes_by(box, its, "wan1")
    until(lambda: not running.ps(), what="the end of the assignments")


FOREVER: Final = f"/bin/sh -c 'sleep 0.3; while :; do {first(4)}; {first(6)}; sleep 0.1; done'"


@promise("RULE-61")
def test_each_start_follows(running: Daemon) -> None:
    """Stopped and started, by `systemctl restart` or killed and started again by systemd."""
    box = running.box
    programs(box)
    rules(running, unit_rule("probed"))
    unit_file(box, "probed.service", f"ExecStart={FOREVER}", "Restart=always", "RestartSec=50ms")
    for ways in (["start"], ["restart"], ["kill", "--signal=KILL"], ["restart"]):
        before = box.unit_property("probed", "MainPID")
        box.run(["systemctl", *ways, "probed"], check=True)
        began_anew(box, before)
        until(running.ps, what="its place on the route")
        until(lambda: box.unit_property("probed", "MainPID") in pids(running), what="its new place")
        box.clear()
        until(lambda: came_out(box).get("wan1", 0) > 20, what="its packets")
        assert came_out(box).keys() == {"wan1"}, ways
    box.run(["systemctl", "stop", "probed"], check=True)
    until(lambda: not running.ps(), what="the end of the assignment")


@promise("RULE-61")
def test_a_unit_that_starts_anew_while_it_is_put_in_place_follows(running: Daemon) -> None:
    """Its cgroup's successor has the same name, and is no target."""
    box = running.box
    programs(box)
    unit_file(box, "probed.service", f"ExecStart={FOREVER}")
    words = f"{sys.executable} -m tests.systemd.starts_anew probed"
    running.stop()
    box.path(f"{UNITS}/{UNIT}.d/late.conf").write_text(f"[Service]\nExecStart=\nExecStart={words}\n")
    box.run(["systemctl", "daemon-reload"], check=True)
    running.start()
    rules(running, unit_rule("probed"))
    box.run(["systemctl", "start", "probed"], check=True)
    until(lambda: "was started anew" in running.log(), what="its next start")
    until(lambda: [one["in_place"] for one in running.ps()] == [True], what="its place on the route")
    assert box.unit_property("probed", "MainPID") in pids(running)
    box.clear()
    until(lambda: came_out(box).get("wan1", 0) > 20, what="its packets")
    assert came_out(box).keys() == {"wan1"}


@promise("RULE-22")
@both_families
@pytest.mark.parametrize(("existing", "came_of_it"), [("keep", ""), ("reset", "ECONNABORTED")])
def test_connections_of_a_unit_that_runs_already(
    running: Daemon, family: int, existing: str, came_of_it: str
) -> None:
    box = running.box
    with started(box, *RUN, "--unit=probed.service") as its:
        assert its.ask("tcp", to=SERVER[family], keep="old").router == box.uplinks["wan2"].wire.node
        rules(running, unit_rule("probed"))
        running.ask("rules", "apply", "--existing", existing)
        assert [one["in_place"] for one in running.ps()] == [True]
        assert its.ask("again", name="old").error == came_of_it
        goes_by(box, its, "wan1")


def began_anew(box: SystemdBox, before: str) -> None:
    """Wait until another one is the main process."""
    until(lambda: box.unit_property("probed", "MainPID") not in ("0", before), what="its start")


def pids(running: Daemon) -> list[str]:
    """Who is on a route."""
    return [str(process["pid"]) for one in running.ps() for process in one["processes"]]


@promise("RULE-62")
@pytest.mark.parametrize("how", ["disable", "remove"])
def test_a_rule_that_holds_no_longer(running: Daemon, how: str) -> None:
    box = running.box
    rules(running, unit_rule("probed"))
    with started(box, *RUN, "--unit=probed.service") as its:
        until(running.ps, what="its place on the route")
        goes_by(box, its, "wan1")
        running.ask("rules", how, f"{RULE}:1")
        goes_by(box, its, "wan1")
        running.ask("rules", "apply")
        assert not running.ps()
        goes_by(box, its, "wan2")
    with started(box, *RUN, "--unit=probed.service") as its:
        goes_by(box, its, "wan2")
        assert not running.ps()


@promise("RULE-63")
def test_an_application_of_a_users_manager(running: Daemon) -> None:
    """Its scope is named as desktops name them (https://systemd.io/DESKTOP_ENVIRONMENTS)."""
    box = running.box
    rules(running, '[[rule]]\napp = "org.example"\nvia = "wan1"\n')
    scope = ("--user", "--scope", "--collect")
    with (
        started(box, *scope, "--unit=app-org.example-123.scope", before=AS_ADA) as its,
        started(box, *scope, "--unit=app-org.other-123.scope", before=AS_ADA) as beside,
    ):
        until(running.ps, what="its place on the route")
        (found,) = running.ps()
        assert (found["owner"], found["rule"], found["in_place"]) == (ADA, f"{RULE}:1", True)
        goes_by(box, its, "wan1")
        goes_by(box, beside, "wan2")
