"""`procroute explain`: why packets could go elsewhere than it says, or nowhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from procroute.kernel import programs
from procroute.lab import LAN, WAN1, WAN2, Lab
from tests.netns.explained import caveats, findings, first, moved, target_of, told
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, until
from tests.netns.traffic import SERVER, both_families

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(main="both") as lab:
        yield lab


@promise("EXPLAIN-03")
@both_families
def test_sockets_that_are_older_than_the_assignment_are_counted(lab: Lab, family: int) -> None:
    with routed(lab) as command, bystander(lab) as other:
        assert other.ask("tcp", to=SERVER[family], keep="old").router == "wan2"
        with moved(lab, other, f"{target_of(command)}/moved.scope"):
            assert other.ask("tcp", to=SERVER[family], keep="new").router == "wan1"
            assert caveats(told(lab, other))["older-sockets"].startswith("1 of its sockets carries")
            other.ask("drop", name="old")
            assert "older-sockets" not in caveats(told(lab, other))
            other.ask("drop", name="new")


@promise("EXPLAIN-03")
@both_families
def test_sockets_with_other_marks_or_tied_to_an_adapter_are_counted(lab: Lab, family: int) -> None:
    with routed(lab) as command:
        command.ask("udp", to=SERVER[family], mark=0x1234, keep="marked", seconds=0.05)
        command.ask("udp", to=SERVER[family], device="wan2", keep="tied", seconds=0.05)
        command.ask("udp", to=SERVER[family], device="wan1", keep="own", seconds=0.05)
        said = caveats(told(lab, command))
        assert "the mark 0x1234 (somebody else's" in said["marks"]
        assert said["tied"].startswith("1 of its sockets is bound to the adapter wan2")


@promise("EXPLAIN-03")
def test_sockets_of_mptcp_are_counted(lab: Lab) -> None:
    with routed(lab) as command, bystander(lab) as other:
        assert other.ask("tcp", to=SERVER[4], mptcp=True, keep="old").protocol == 262
        with moved(lab, other, f"{target_of(command)}/moved.scope"):
            said = caveats(told(lab, other))
            assert said["mptcp-sockets"].startswith("1 of its sockets")
        other.ask("drop", name="old")
        assert "mptcp" in caveats(told(lab, command))


@promise("EXPLAIN-03")
def test_who_looks_names_up_in_its_stead_is_named(lab: Lab) -> None:
    script = "import socket; socket.socket(socket.AF_UNIX).bind('/run/nscd/socket')"
    lab.sh(f'mkdir -p /run/nscd && {sys.executable} -S -c "{script}"')
    try:
        with routed(lab) as command, bystander(lab) as other:
            assert "dns-helper" not in caveats(told(lab, command))  # it is hidden from it
            with moved(lab, other, f"{target_of(command)}/moved.scope"):
                closed = programs.can_close_helpers("/sys/fs/cgroup")
                assert ("dns-helper" in caveats(told(lab, other))) is not closed
                command.switch_off("helpers")
                assert "nscd" in caveats(told(lab, other))["dns-helper"]
    finally:
        lab.sh("rm -r /run/nscd")


@promise("EXPLAIN-03")
def test_lan_and_strict_are_told(lab: Lab) -> None:
    with routed(lab) as usual, routed(lab, "--strict") as strict:
        said = caveats(told(lab, usual))
        assert "192.168.50.0/24 by lan0" in said["lan"]
        assert "strict" not in said
        said = caveats(told(lab, strict))
        assert "lan" not in said
        assert "strict" in said
        way = first(told(lab, strict, LAN.gateway4), 4)
        assert (way["outcome"], way["adapter"]) == ("leaves", "wan1")
        assert first(told(lab, usual, LAN.gateway4), 4)["adapter"] == "lan0"


@promise("EXPLAIN-03")
def test_what_goes_to_a_resolver_is_told_to_go_elsewhere(lab: Lab) -> None:
    with routed(lab) as command:
        said = caveats(told(lab, command, WAN2.dns4))
        assert said["dns-port"] == f"what it sends to port 53 of {WAN2.dns4} goes to {WAN1.dns4} instead"
        assert "dns-port" not in caveats(told(lab, command, SERVER[4]))


@promise("EXPLAIN-03")
def test_strangers_under_a_strict_reverse_path_check_are_told(lab: Lab) -> None:
    with routed(lab) as command:
        assert "strangers" not in caveats(told(lab, command))
    lab.sysctl("net/ipv4/conf/wan2/rp_filter", "1")
    try:
        with routed(lab) as command:
            assert "wan2" in caveats(told(lab, command))["strangers"]
    finally:
        lab.sysctl("net/ipv4/conf/wan2/rp_filter", "0")


@promise("EXPLAIN-03")
def test_rules_that_select_by_more_and_shared_ways_are_told(lab: Lab) -> None:
    lab.sh("ip rule add uidrange 5-6 lookup 99 pref 5000")
    lab.sh(f"ip route add 10.77.0.0/16 nexthop via {WAN1.gateway4} nexthop via {WAN2.gateway4}")
    try:
        with bystander(lab) as other:
            said = caveats(told(lab, other, "10.77.0.1"))
            assert "rule 5000" in said["selective-rule"]
            assert said["multipath"] == "10.77.0.1 is shared by wan1, wan2, by connection"
            assert "multipath" not in caveats(told(lab, other))
    finally:
        lab.sh("ip rule del pref 5000; ip route del 10.77.0.0/16")


@promise("EXPLAIN-03")
@both_families
def test_a_family_that_the_adapter_lacks_is_told(family: int) -> None:
    other = 10 - family
    with Lab(main="both", families={"wan1": "4" if other == 4 else "6"}) as lab, routed(lab) as command:
        found = told(lab, command)
        way = first(found, family)
        assert (way["outcome"], way["error"]) == ("unreachable", "ENETUNREACH")
        assert f"because wan1 has no IPv{family} address" in found["families"][f"ipv{family}"]
        assert first(found, other)["outcome"] == "leaves"


@promise("EXPLAIN-03")
@both_families
def test_a_gateway_that_does_not_answer_is_told(family: int) -> None:
    with Lab(main="both") as lab, routed(lab) as command:
        lab.wan1.silence()

        def is_told() -> bool:
            # Somebody has to ask for it before the kernel knows.
            command.ask("udp", to=SERVER[family], seconds=0.02)
            found = told(lab, command)
            gateway = WAN1.gateway4 if family == 4 else WAN1.gateway6
            because = f"because the gateway {gateway} of wan1 does not answer"
            return because in found["families"][f"ipv{family}"] and "gateway" in caveats(found)

        until(is_told, 10, "that")


@promise("EXPLAIN-03", "KILL-01")
def test_a_route_that_nobody_attends_is_told(lab: Lab) -> None:
    words = [*PROCROUTE, "run", "--via", "wan1", "--", "sh", "-c", "echo $PPID $$; read go"]
    with lab.popen(words, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        engine, command = process.stdout.readline().split()
        assert "unattended" not in caveats(told(lab, command))
        lab.sh(f"kill -9 {engine}")
        until(lambda: "unattended" in caveats(told(lab, command)))
        found = told(lab, command)
        assert first(found, 4)["adapter"] == "wan1"
        assert f"procroute run (pid {engine})" in findings(found)["assigned"]
        process.stdin.write("\n")
    assert procroute(lab, "cleanup").returncode == 0


@promise("EXPLAIN-03")
def test_another_network_namespace_is_told(lab: Lab) -> None:
    with (
        routed(lab),
        lab.popen(
            ["unshare", "--net", "sh", "-c", "echo $$; read go"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        found = told(lab, process.stdout.readline().strip())
        assert "another network namespace" in findings(found)["namespace"]
        assert (found["ways"], found["families"]) == ([], {})
        process.stdin.write("\n")
