"""`procroute status`: who is on which route, and what it has carried, counted in the kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procroute.lab import WAN1, Lab
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, unchanged, until
from tests.netns.traffic import SERVER, both_families, own_address

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(main="both") as lab:
        yield lab


def told(lab: Lab, route: str = "wan1") -> dict[str, Any]:
    """What the verb says of one route."""
    done = procroute(lab, "status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["version"] == 1
    (found,) = [each for each in document["routes"] if each["name"] == route]
    return dict(found)


@promise("LOOK-02")
@both_families
@pytest.mark.parametrize("way", ["tcp", "udp", "unconnected"])
def test_both_directions_are_counted_as_the_capture_sees_them(lab: Lab, family: int, way: str) -> None:
    with unchanged(lab), routed(lab) as command, bystander(lab) as other:
        lab.clear()
        before = told(lab)
        assert (before["out"], before["in"]) == ({"packets": 0, "bytes": 0},) * 2
        for _ in range(3):
            assert not command.ask(way, to=SERVER[family]).error
            assert not other.ask(way, to=SERVER[family]).error
        lab.settle()
        seen = lab.wan1.packets(source=own_address(lab.wan1, family))
        after = told(lab)
        # The last acknowledgement is the kernel's where the socket is closed already: no process sent it.
        uncounted = len(seen) - after["out"]["packets"]
        assert 0 <= uncounted <= (3 if way == "tcp" else 0)
        empty = sorted(p.length for p in seen)[:uncounted]
        assert after["out"]["bytes"] == sum(p.length for p in seen) - sum(empty)
        assert after["in"]["packets"] >= 3
        assert after["in"]["bytes"] > 3 * (20 if family == 4 else 40)
        assert after["dropped"] == {}


@promise("LOOK-02", "NEG-02")
def test_without_the_guards_program_nothing_is_counted(lab: Lab) -> None:
    with routed(lab) as command:
        command.switch_off("guard", "replies")
        assert not command.ask("udp", to=SERVER[4]).error
        assert told(lab)["out"] == {"packets": 0, "bytes": 0}


@promise("LOOK-02", "LEAK-04")
@both_families
def test_what_the_guard_drops_is_named_and_not_counted_as_sent(lab: Lab, family: int) -> None:
    with routed(lab) as command:
        before = told(lab)["out"]
        command.ask("udp", to=SERVER[family], source=own_address(lab.wan2, family), seconds=0.3)
        after = told(lab)
        assert after["dropped"] == {"wan2": 1}
        assert after["out"] == before


@promise("LOOK-02")
def test_the_count_goes_on_when_the_door_changes(lab: Lab) -> None:
    with routed(lab) as command:
        assert not command.ask("udp", to=SERVER[4]).error
        before = told(lab)["out"]
        assert before["packets"] == 1
        lab.ip("address add 198.51.100.77/24 dev wan1")
        try:
            until(lambda: not command.ask("udp", to=SERVER[4], source="198.51.100.77").error, 2)
        finally:
            lab.ip("address del 198.51.100.77/24 dev wan1")
        assert told(lab)["out"]["packets"] > before["packets"]


@promise("LOOK-02")
def test_commands_are_listed_with_their_processes(lab: Lab) -> None:
    interpreter = Path(sys.executable).name
    with routed(lab) as command, routed(lab), routed(lab, "--strict"):
        view = told(lab)
        assert len(view["assignments"]) == 2
        assert {p["name"] for a in view["assignments"] for p in a["processes"]} == {interpreter}
        own = command.ask("hello")
        (mine,) = [a for a in view["assignments"] if a["cgroup"] == own.cgroup]
        assert [p["user"] for p in mine["processes"]] == ["root"]
        assert "-S" in mine["processes"][0]["command"]
        assert (view["mark"], view["table"], view["state"]) == (0x0200_0000, 7301, "up")
        assert view["ways"]["ipv4"]["gateway"] == WAN1.gateway4
        assert len(told(lab, "wan1~strict")["assignments"]) == 1


@promise("LOOK-02", "CLI-11")
@both_families
def test_the_gateway_is_that_of_the_routes_table(lab: Lab, family: int) -> None:
    """Which was given, where main has another."""
    given = {4: "198.51.100.99", 6: "2001:db8:1::99"}[family]
    with unchanged(lab), routed(lab, f"--gateway{family}", given):
        (route,) = json.loads(procroute(lab, "status", "--json").stdout)["routes"]
        way = route["ways"][f"ipv{family}"]
        assert (way["gateway"], way["learnt"]) == (given, "given")
        assert f"via {given} " in lab.ip(f"-{family} route show table {route['table']} default")


@promise("LOOK-02")
def test_a_name_that_steers_a_terminal_does_not_reach_it(lab: Lab) -> None:
    script = r"""cp /bin/sleep "$(printf '/tmp/a\033[31mb\nc')"; exec "$(printf '/tmp/a\033[31mb\nc')" 5"""
    words = ["run", "--via", "wan1", "--", "sh", "-c", script]
    process = lab.popen([*PROCROUTE, *words], env=ENVIRONMENT)
    try:
        until(lambda: "/tmp/a" in procroute(lab, "status").stdout, 5)
        assert "\033[31m" not in procroute(lab, "status").stdout
    finally:
        process.send_signal(15)
        process.wait(10)


@promise("LOOK-02")
def test_where_nothing_is_routed_it_says_so(lab: Lab) -> None:
    done = procroute(lab, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing is routed\n")


@promise("LOOK-02", "ERR-04")
def test_it_is_for_root(lab: Lab) -> None:
    done = lab.run(["setpriv", "--reuid=65534", "--clear-groups", *PROCROUTE, "status"], env=ENVIRONMENT)
    assert done.returncode == 125
    hint = "sudo procroute status; procroute ps tells everybody what the daemon has assigned"
    assert done.stderr == f"procroute: status must be asked for by root\n  hint: {hint}\n"


@promise("LOOK-02")
@both_families
def test_what_ended_commands_carried_stays_with_the_route(lab: Lab, family: int) -> None:
    with routed(lab) as command:
        with routed(lab) as second:  # adopts the route
            assert not second.ask("udp", to=SERVER[family]).error
            assert not command.ask("udp", to=SERVER[family]).error
            before = told(lab)
            assert [before[way]["packets"] for way in ("out", "in")] == [2, 2]
        after = told(lab)
        assert len(after["assignments"]) == 1
        assert (after["out"], after["in"]) == (before["out"], before["in"])
        with routed(lab):
            assert told(lab)["out"] == before["out"]


@promise("LOOK-02")
@both_families
def test_what_comes_in_is_counted_as_the_machine_received_it(lab: Lab, family: int) -> None:
    with routed(lab) as command:
        assert not command.ask("udp", to=SERVER[family]).error  # the neighbours know each other now
        count, before = told(lab)["in"], received(lab, family)
        assert not command.ask("udp", to=SERVER[family]).error
        octets, after = received(lab, family) - before, told(lab)["in"]
    assert octets > 0
    assert after == {"packets": count["packets"] + 1, "bytes": count["bytes"] + octets}


def received(lab: Lab, family: int) -> int:
    """Bytes with IP headers that the machine has received (RFC 4293, ifInOctets of IP)."""
    if family == 6:
        return int(lab.sh("awk '$1 == \"Ip6InOctets\" {print $2}' /proc/net/snmp6"))
    names, values = (line.split() for line in lab.sh("grep ^IpExt: /proc/net/netstat").splitlines())
    return int(values[names.index("InOctets")])


@promise("LOOK-02")
def test_routes_of_another_network_namespace_are_not_shown(lab: Lab) -> None:
    with routed(lab):
        there = lab.run(["unshare", "--net", *PROCROUTE, "status", "--json"], env=ENVIRONMENT, check=True)
        assert json.loads(there.stdout)["routes"] == []
        assert told(lab)["assignments"]


@promise("LOOK-02", "KILL-02")
def test_what_a_killed_engine_left_is_said(lab: Lab) -> None:
    words = [*PROCROUTE, "run", "--via", "wan1", "--", "sh", "-c", "echo $PPID; read go"]
    with lab.popen(words, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        engine = int(process.stdout.readline())
        assert told(lab)["in_use"]
        lab.sh(f"kill -9 {engine}")
        assert told(lab)["in_use"]  # the command runs on
        process.stdin.write("\n")
    until(lambda: not told(lab)["in_use"])
    assert "left behind" in procroute(lab, "status").stdout
    assert procroute(lab, "cleanup").returncode == 0
    assert procroute(lab, "status").stdout.startswith("nothing is routed\n")


@promise("LOOK-02")
def test_routes_that_come_and_go_meanwhile_disturb_nothing(lab: Lab) -> None:
    script = 'for i in 1 2 3 4 5 6; do "$@" run --via wan1 --dns system -- true; done'
    process = lab.popen(["sh", "-c", script, "sh", *PROCROUTE], env=ENVIRONMENT)
    looks = 0
    try:
        while process.poll() is None and looks < 100:
            done = procroute(lab, "status", "--json")
            assert (done.returncode, done.stderr) == (0, "")
            looks += 1
    finally:
        process.wait(30)
    assert looks > 1
