"""`procroute explain`: what it says besides where packets go, of whom, and what it refuses."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from procroute.lab import LAN, WAN1, WAN2, Lab
from tests.netns.inhabitants import Inhabitant, bystander, routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, unchanged, until
from tests.netns.traffic import FAMILIES, SERVER, own_address

promise = pytest.mark.promise
both_families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
_CGROUPS: Final = "/sys/fs/cgroup"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(main="both") as lab:
        yield lab


def told(lab: Lab, who: Inhabitant | str, destination: str = "") -> dict[str, Any]:
    """What the verb says."""
    subject = who if isinstance(who, str) else str(who.ask("hello").pid)
    done = procroute(lab, "explain", subject, *([destination] if destination else []), "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["version"] == 1
    return found


def caveats(found: dict[str, Any]) -> dict[str, str]:
    """By their ids."""
    return {c["id"]: c["text"] for c in found["caveats"]}


def findings(found: dict[str, Any]) -> dict[str, str]:
    """By their ids."""
    return {f["id"]: f["text"] for f in found["findings"]}


def first(found: dict[str, Any], family: int) -> dict[str, Any]:
    """The way of sockets that are bound to nothing."""
    return dict(next(w for w in found["ways"] if w["family"] == f"ipv{family}" and w["bound"] is None))


@contextlib.contextmanager
def moved(lab: Lab, who: Inhabitant, cgroup: str) -> Iterator[None]:
    """A process in another cgroup for a while. cgroup: below the mount point; its last part is made."""
    hello = who.ask("hello")
    lab.sh(f"mkdir {_CGROUPS}{cgroup} && echo {hello.pid} > {_CGROUPS}{cgroup}/cgroup.procs")
    try:
        yield
    finally:
        lab.sh(f"echo {hello.pid} > {_CGROUPS}{hello.cgroup}/cgroup.procs && rmdir {_CGROUPS}{cgroup}")


def target_of(command: Inhabitant) -> str:
    """The cgroup of its route."""
    return command.ask("hello").cgroup.rpartition("/")[0]


@promise("EXPLAIN-02")
def test_a_command_is_explained_from_its_cgroup_to_its_look_ups(lab: Lab) -> None:
    with unchanged(lab), routed(lab) as command:
        found = told(lab, command)
        said = findings(found)
        assert list(said) == ["cgroup", "target", "assigned", "mark", "dns"]
        assert command.ask("hello").cgroup in said["cgroup"]
        assert "route wan1" in said["target"]
        assert "by root with procroute run" in said["assigned"]
        assert "0x2000000" in said["mark"]
        assert WAN1.dns4 in said["dns"]
        assert (found["route"], found["mark"]) == ("wan1", 0x0200_0000)
        for family in FAMILIES:
            way = first(found, family)
            assert (way["outcome"], way["adapter"]) == ("leaves", "wan1")
            assert (way["source"], way["table"]) == (own_address(lab.wan1, family), 7301)
            rules = lab.ip(f"-N -{family} rule show pref {way['preference']}")
            assert "lookup 7301" in rules
            # With the bound bit the kernel answers by the adapter that has the address.
            bound = next(w for w in found["ways"] if w["bound"] == own_address(lab.wan2, family))
            index = int(lab.path("/sys/class/net/wan2/ifindex").read_text())
            assert (bound["outcome"], bound["adapter"]) == ("dropped", "wan2")
            assert bound["table"] == 700_000 + index
        text = "\n".join(found["families"]["ipv4"])
        for words in ("rule 0: from all lookup local: nothing", "lookup procroute-wan1 (7301): decides"):
            assert words in text
        assert "the guard lets it pass" in text
        assert f"look-ups to {WAN1.dns4}: it leaves by wan1, from {WAN1.address4}" in text


@promise("EXPLAIN-02")
def test_a_bystander_is_explained_as_well(lab: Lab) -> None:
    with bystander(lab) as other:
        alone = told(lab, other)
        with routed(lab):
            found = told(lab, other)
            assert [w["adapter"] for w in found["ways"]] == [w["adapter"] for w in alone["ways"]]
    assert findings(found)["bystander"] == "that is no route's: it is not routed, and goes by main"
    assert (found["route"], found["mark"]) == (None, 0)
    for family in FAMILIES:
        assert (first(found, family)["adapter"], first(found, family)["table"]) == ("wan2", 254)
    assert found["caveats"] == []
    assert any("4400" in line and "goto 4699" in line for line in found["families"]["ipv4"])


@promise("EXPLAIN-02")
def test_people_are_told_the_same_as_programs(lab: Lab) -> None:
    with routed(lab) as command:
        found = told(lab, command)
        done = procroute(lab, "explain", str(command.ask("hello").pid))
    assert done.stderr == ""
    assert "IPv4 – leaves by wan1, from 198.51.100.2" in done.stdout
    for text in [*findings(found).values(), *found["families"]["ipv6"], *caveats(found).values()]:
        assert text in done.stdout


@promise("EXPLAIN-02")
def test_a_unit_is_found_by_its_name(lab: Lab) -> None:
    with routed(lab) as command, bystander(lab) as other:
        with moved(lab, other, "/web.service"):
            for name in ("web", "web.service"):
                found = told(lab, name)
                assert (found["route"], first(found, 4)["adapter"]) == (None, "wan2")
                assert found["subject"].endswith(f", the first of 1 process of {name}")
        with moved(lab, other, f"{target_of(command)}/web.service"):
            found = told(lab, "web")
            assert (found["route"], first(found, 6)["adapter"]) == ("wan1", "wan1")
            assert "started there as web.service" in findings(found)["assigned"]


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


@promise("EXPLAIN-02")
@both_families
def test_a_rule_that_leaves_defaults_out_does_not_decide_by_one(lab: Lab, family: int) -> None:
    """As wg-quick(8) has one."""
    lab.ip(f"-{family} rule add lookup main suppress_prefixlength 0 pref 32000")
    near = WAN2.gateway4 if family == 4 else WAN2.gateway6
    try:
        with bystander(lab) as other:
            assert first(told(lab, other), family)["preference"] == 32766
            found = told(lab, other, near)
            assert first(found, family)["preference"] == 32000
            text = "\n".join(found["families"][f"ipv{family}"])
            assert "lookup main suppress_prefixlength 0: decides" in text
    finally:
        lab.ip(f"-{family} rule del pref 32000")


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


@promise("EXPLAIN-04", "ERR-08")
@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (("999999",), "there is no process 999999", "ps(1)"),
        (("0",), "there is no process 0", "ps(1)"),
        (("99999999999",), "there is no process 99999999999", "ps(1)"),
        (("nothing.service",), "no unit nothing.service has a cgroup here", "systemctl status"),
        (("../etc",), "'../etc' is no name of a unit", "give a PID"),
        (("1", "example.org"), "example.org is no address", "getent"),
        (("1", "192.0.2.300"), "192.0.2.300 is no address", "getent"),
        (("1", "fe80::1"), "fe80::1 is on every link", "fe80::1%ADAPTER"),
        (("1", "fe80::1%wan9"), "there is no adapter wan9", "procroute adapters"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_a_hint(
    lab: Lab, words: tuple[str, ...], says: str, hint: str
) -> None:
    done = procroute(lab, "explain", *words)
    assert (done.returncode, done.stdout) == (125, "")
    message, hinted = done.stderr.splitlines()
    assert message == f"procroute: {says}"
    assert hint in hinted


@promise("EXPLAIN-04")
def test_threads_and_zombies_are_told_from_processes(lab: Lab) -> None:
    script = (
        "import os,sys,threading\n"
        "threading.Thread(target=sys.stdin.readline).start()\n"
        "child = os.fork() or os._exit(0)\n"
        "os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n"
        "tid = max(map(int, os.listdir('/proc/self/task')))\n"
        "print(os.getpid(), tid, child, flush=True)\n"
    )
    words = [sys.executable, "-S", "-c", script]
    with lab.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        pid, tid, child = process.stdout.readline().split()
        assert f"{tid} is a thread of process {pid}" in procroute(lab, "explain", tid).stderr
        assert f"process {child} has ended (a zombie)" in procroute(lab, "explain", child).stderr
        process.stdin.write("\n")


@promise("EXPLAIN-04", "ERR-04")
def test_it_is_for_root(lab: Lab) -> None:
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
    done = lab.run([*nobody, *PROCROUTE, "explain", "1"], env=ENVIRONMENT)
    assert done.returncode == 125
    assert done.stderr == (
        "procroute: only root may explain while no procrouted runs: "
        "there is no /run/procroute/procroute.sock\n"
        "  hint: sudo procroute explain 1; or systemctl start procrouted, or as root: procroute daemon\n"
    )


@promise("EXPLAIN-04")
def test_a_process_that_ends_meanwhile_costs_no_traceback(lab: Lab) -> None:
    for _ in range(3):
        done = lab.run(
            ["sh", "-c", 'sleep 0.25 & exec "$@" explain $!', "sh", *PROCROUTE], env=ENVIRONMENT, timeout=30
        )
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 125)
