"""Machines of another shape: cgroup2 beside version 1 or mounted elsewhere, and adapters with odd names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from procroute.lab.topology import machine_side
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.inhabitants import Command, routed
from tests.netns.running import ENVIRONMENT, ours, procroute, run_by, unchanged, until
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, elsewhere

promise = pytest.mark.promise
ODD = ("a-b.c@d", "exactly15bytes_", "eth0.100", "wg-home")


def wrong(lab: Lab, command: Command) -> list[str]:
    """Everything that is not as it should be for a command by wan1."""
    found = [
        finding
        for family in FAMILIES
        for way in WAYS
        for finding in astray(lab, command, way, family, lab.wan1)
    ]
    return found + elsewhere(lab, "wan1")


@promise("CGROUP-01", "PATH-01", "PATH-03", "CLEAN-01", "NEG-01")
def test_a_hybrid_machine() -> None:
    """cgroup2 lies on /sys/fs/cgroup/unified, as systemd puts it there."""
    with Lab(cgroup="hybrid", rp_filter=1) as lab:
        with unchanged(lab):
            with routed(lab) as command:
                assert "/procroute.slice/procroute-wan1.slice/" in command.ask("hello").cgroup
                assert not wrong(lab, command)
                assert procroute(lab, "cleanup").returncode == 3
        with routed(lab) as command:
            target = lab.path("/sys/fs/cgroup/unified/procroute.slice/procroute-wan1.slice")
            assert target.is_dir()
            command.target = str(target)
            command.switch_off("mark")
            assert wrong(lab, command)


@promise("CGROUP-01", "PATH-01", "CLEAN-01")
@pytest.mark.parametrize("place", ["/run/cg two", "/mnt"])
def test_cgroup2_mounted_elsewhere(place: str) -> None:
    """And not on /sys/fs/cgroup at all."""
    script = f"mkdir -p '{place}'; mount -t cgroup2 none '{place}'; umount -R /sys/fs/cgroup; exec \"$@\""
    with Lab() as lab:
        lab.sh("mkdir -p /run/mount")
        with unchanged(lab):
            for family in FAMILIES:
                ask = f"import socket; print(socket.create_connection(('{SERVER[family]}', 7000)).recv(999))"
                words = [*run_by("wan1"), "python3", "-c", ask]
                done = lab.run(["unshare", "--mount", "sh", "-ec", script, "sh", *words], env=ENVIRONMENT)
                assert '"router": "wan1"' in done.stdout, done.stderr
            lab.sh(f"rmdir '{place}' 2>/dev/null || true")
            assert not ours(lab)


@pytest.fixture(scope="module")
def renamed() -> Iterator[Lab]:
    with Lab(main="both", rp_filter=1) as lab:
        rename(lab, "wan1", "wan1")  # its routes are listed last from now on, however often it is renamed
        yield lab


@promise("PATH-01", "CLEAN-01", "CLI-14")
@pytest.mark.parametrize(
    ("name", "options"), [(name, ("--strict",) if number % 2 else ()) for number, name in enumerate(ODD)]
)
def test_an_adapter_with_an_odd_name(renamed: Lab, name: str, options: tuple[str, ...]) -> None:
    lab = renamed
    rename(lab, "wan1", name)
    try:
        with unchanged(lab):
            with routed(lab, *options, via=name) as command:
                for family in FAMILIES:
                    lab.clear()
                    assert command.ask("tcp", to=SERVER[family]).router == "wan1"
                    assert command.ask("unconnected", to=SERVER[family]).router == "wan1"
                    lab.settle()
                    assert not lab.wan2.packets()
    finally:
        rename(lab, name, "wan1")


def rename(lab: Lab, old: str, new: str) -> None:
    """Give an adapter another name, and everything that it had again."""
    lab.run(["ip", "link", "set", "dev", old, "down"], check=True)
    lab.run(["ip", "link", "set", "dev", old, "name", new], check=True)
    lines = machine_side(lab.wan1.wire).replace("wan1", new)
    for family, gateway in ((4, lab.wan1.wire.gateway4), (6, lab.wan1.wire.gateway6)):
        everything = "default" if family == 4 else "::/0"
        lines += f"route replace {everything} via {gateway} dev {new} metric 200\n"
    lab.run(["ip", "-batch", "-"], stdin=lines, check=True)
    # The kernel makes these a moment later: of its address and of the link-local one.
    until(
        lambda: lab.ip("-6 route show table local type local").count(f" dev {new} ") >= 2,
        what="local entries",
    )


def valid_mark(lab: Lab) -> dict[str, str]:
    """src_valid_mark of each adapter."""
    return {
        path.split("/")[3]: value
        for path, value in lab.ask("sysctls").items()
        if path.startswith("net/ipv4/conf/") and path.endswith("/src_valid_mark")
    }


@promise("KEEP-05", "CLEAN-01", "CLEAN-03")
@pytest.mark.parametrize("engine", ["living", "killed"])
def test_a_sysctl_is_put_back_on_an_adapter_that_was_renamed(renamed: Lab, engine: str) -> None:
    """Also where another adapter has the old name by then, with a value of its own."""
    lab = renamed
    before = valid_mark(lab)
    lab.sh("ip link add wan9 type veth peer name wan9b")
    try:
        with unchanged(lab):
            with crowd(lab, [("wan1",)]) as (command,):
                assert valid_mark(lab)["wan1"] == "1"
                if engine == "killed":
                    kill_engine(command.process)
                lab.sh("ip link set wan1 down; ip link set wan1 name new1; ip link set wan9 name wan1")
                if engine == "killed":
                    assert valid_mark(lab)["new1"] == "1"
                    hang_up(command.process)
            until(lambda: procroute(lab, "cleanup").returncode == 0, what="the command's end")
            assert valid_mark(lab) == before | {"new1": "0", "wan9b": "0"}
            lab.sh("ip link set wan1 name wan9; ip link set new1 name wan1")
            rename(lab, "wan1", "wan1")
    finally:
        lab.sh("ip link del wan9")


@promise("KEEP-05", "CLEAN-01")
def test_the_record_of_an_adapter_that_is_gone_goes_too() -> None:
    with Lab(rp_filter=1) as lab:
        with routed(lab, "--dns", "system"):
            assert valid_mark(lab)["wan1"] == "1"
            lab.ip("link del wan1")
        assert not ours(lab)


@promise("PATH-01", "CLI-13")
@pytest.mark.parametrize("altname", ["dsl", "a-name-that-is-longer-than-an-adapters-own"])
def test_an_alternative_name(altname: str) -> None:
    """It means the same route as the adapter's own name."""
    with Lab() as lab, unchanged(lab):
        lab.ip(f"link property add dev wan1 altname {altname}")
        with routed(lab, via=altname) as command, routed(lab, via="wan1") as same:
            assert command.target == same.target
            assert not wrong(lab, command)
        lab.ip(f"link property del dev wan1 altname {altname}")


@promise("PATH-01", "PATH-03", "FAM-01", "NEG-01")
def test_a_default_for_some_sources_only() -> None:
    """As networkd and odhcp6c install it. Another address of the adapter is not what it is for."""
    with Lab() as lab:
        lab.ip("-6 address add 2001:db8:7::2/64 dev wan1 nodad")
        lab.ip("-6 route del default dev wan1")
        lab.ip("-6 route add default from 2001:db8:1::/64 via 2001:db8:1::1 dev wan1 metric 512")
        with unchanged(lab), routed(lab) as command:
            for way in WAYS:
                assert not astray(lab, command, way, 6, lab.wan1)
            command.switch_off("mark")
            assert astray(lab, command, "tcp", 6, lab.wan1)


@promise("PATH-01", "LAN-01", "DOWN-06")
@pytest.mark.parametrize("compatible", ["0", "1"])
@pytest.mark.parametrize("group", ["", "/22"], ids=["one", "group"])
def test_a_default_by_next_hop_objects(compatible: str, group: str) -> None:
    """With nexthop_compat_mode off the kernel names only the object; when that is replaced, we follow."""
    with Lab() as lab:
        lab.sysctl("net/ipv4/nexthop_compat_mode", compatible)
        for family, first in ((4, ""), (6, "1")):
            one, other = (("198.51.100.1", "203.0.113.1"), ("2001:db8:1::1", "2001:db8:2::1"))[family == 6]
            lab.ip(f"-{family} route del default dev wan1")
            lab.ip(f"nexthop add id {first}11 via {one} dev wan1")
            lab.ip(f"nexthop add id {first}22 via {other} dev wan2")
            if group:
                lab.ip(f"nexthop add id {first}33 group {first}11/{first}22,3")
            lab.ip(f"-{family} route add default nhid {first}{33 if group else 11} metric 200")
        lab.ip("route add 10.9.0.0/16 nhid 22")
        lab.ip("-6 route add fd09::/32 nhid 122")
        with routed(lab) as command:
            assert not wrong(lab, command)
            assert command.ask("tcp", to="10.9.0.1").router == "wan2"
            assert command.ask("tcp", to="fd09::1").router == "wan2"
        with routed(lab):
            for last in (9, 10):  # what the start of a run stirs up may have woken it for the first
                for family, first, network in ((4, "", "198.51.100."), (6, "1", "2001:db8:1::")):
                    lab.ip(f"nexthop replace id {first}11 via {network}{last} dev wan1")
                    wait_for_default(lab, family, f"via {network}{last} dev wan1")
        assert not ours(lab)


def wait_for_default(lab: Lab, family: int, words: str) -> None:
    """Wait until the first route's default is that."""
    until(lambda: words in lab.ip(f"-{family} route show table 7301 default"), 2, words)
