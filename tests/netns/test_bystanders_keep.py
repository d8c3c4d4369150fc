"""What other people have put into the kernel is the same before, while and after routes are there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.snapshot import changes, snapshot
from tests.lab import foreign
from tests.netns.inhabitants import Command, bystander, routed
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, both_families, elsewhere

promise = pytest.mark.promise

FOREIGN_PROGRAMS = Path(__file__).parent.parent / "lab" / "foreign_programs.py"
HOOKS = ("0", "1", "2")
"""Ingress, egress, sock_create: enum bpf_attach_type."""
SET_BY_US = re.compile(r"sysctl net/ipv4/conf/wan[12]/src_valid_mark")
OTHERS_TABLES = """
table ip theirs {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ip saddr 10.0.0.0/8 drop
    }
}
table ip6 theirs {
    set hosts {
        type ipv6_addr
        elements = { 2001:db8::9 }
    }
}
table inet procroute_of_somebody {
    map words {
        type mark : verdict
        elements = { 0x1 : accept }
    }
}
table netdev theirs {
    chain in {
        type filter hook ingress device lan0 priority 0; policy accept;
    }
}
"""
COUNTING = f"""
table inet counting {{
    counter seen {{
    }}
    chain out {{
        type filter hook output priority 0; policy accept;
        meta mark and 0xffffff == {foreign.FOREIGN_MARK:#x} counter name seen
    }}
}}
"""
OVERWRITING = f"""
table inet overwriting {{
    chain out {{
        type route hook output priority mangle + 10; policy accept;
        ip daddr 192.0.2.200 meta mark set {foreign.FOREIGN_MARK:#x}
        ip6 daddr 2001:db8:ffff::200 meta mark set {foreign.FOREIGN_MARK:#x}
    }}
}}
"""


def attach_theirs(lab: Lab, cgroup: str) -> None:
    """Programs of somebody else's on a cgroup of the machine."""
    lab.run([sys.executable, FOREIGN_PROGRAMS, f"/sys/fs/cgroup/{cgroup}", *HOOKS], check=True)


def furnish(lab: Lab) -> None:
    """Things of other people's that do not get in each other's way."""
    for put in (foreign.firewall, foreign.mwan3_rules, foreign.dhcp_rules, foreign.sysctls):
        put(lab)
    lab.nft(OTHERS_TABLES)
    lab.sysctl("net/ipv4/conf/wan2/src_valid_mark", "1")
    lab.ip("route add blackhole 198.18.0.0/15 table 7500")
    lab.ip("-6 route add unreachable 2001:db8:dead::/48 metric 7")
    lab.ip("rule add pref 4399 from 198.18.0.1 table 7500 protocol 112")
    lab.ip("-6 rule add pref 4700 iif lan0 table 7500 protocol 112")
    lab.ip("route add 198.18.7.0/24 dev lan0 protocol 112")
    lab.sh("mkdir /sys/fs/cgroup/procroute-mine.slice /sys/fs/cgroup/theirs.slice")
    for cgroup in ("", "session", "theirs.slice"):
        attach_theirs(lab, cgroup)


def gone(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """What was there and is no more, by kind; the one sysctl that we may set is left out."""
    return {
        name: lost
        for name, (lost, _) in changes(before, now).items()
        if lost and not SET_BY_US.fullmatch(name)
    }


@contextmanager
def furnished(rp_filter: int, put: Callable[[Lab], object]) -> Iterator[Lab]:
    """A machine full of other people's things."""
    with Lab(main="both", rp_filter=rp_filter) as lab:  # type: ignore[arg-type]
        put(lab)
        furnish(lab)
        yield lab


@promise("KEEP-01", "KEEP-02", "KEEP-04", "KEEP-05")
@pytest.mark.parametrize(
    ("put", "rp_filter"),
    [
        (foreign.openvpn, 0),
        (foreign.wireguard_all_but_lan, 1),
        (foreign.wg_quick_rule, 0),
        (foreign.tailscale, 1),
        (foreign.firewalld, 0),
    ],
)
def test_everything_of_others_stays(put: Callable[[Lab], object], rp_filter: int) -> None:
    with furnished(rp_filter, put) as lab:
        with bystander(lab) as other:  # what only traffic brings about is there before we look
            for family in FAMILIES:
                other.ask("tcp", to=SERVER[family])
        before = snapshot(lab)
        with routed(lab) as command, routed(lab, "--strict", via="wan2"):
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan1)
            during = snapshot(lab)
            assert changes(before, during), "the snapshot sees nothing of ours"
            assert not gone(before, during)
        assert not changes(before, snapshot(lab))


@promise("KEEP-05")
@pytest.mark.parametrize("old", ["0", "1"])
def test_the_one_sysctl_we_change_is_on_disk_and_put_back(old: str) -> None:
    name = "net/ipv4/conf/wan1/src_valid_mark"
    with Lab(main="both", rp_filter=1) as lab:
        lab.sysctl(name, old)
        before = lab.ask("sysctls")
        with routed(lab) as command:
            assert not astray(lab, command, "tcp", 4, lab.wan1)
            during = lab.ask("sysctls")
            assert during[name] == "1"
            assert {key for key in before if before[key] != during.get(key)} <= {name}
            recorded = lab.sh("grep -rl . /run/procroute/src_valid_mark").split()
            assert [Path(file).name for file in recorded] == lab.sh("cat /sys/class/net/wan1/ifindex").split()
            assert lab.sh(f"cat {recorded[0]}").strip() == old
        assert lab.ask("sysctls") == before
        assert lab.sh("ls /run") == ""


@promise("KEEP-05")
def test_no_sysctl_is_changed_where_none_must_be() -> None:
    with Lab(main="both", rp_filter=2) as lab:
        before = lab.ask("sysctls")
        with routed(lab) as command:
            assert not astray(lab, command, "tcp", 4, lab.wan1)
            assert lab.ask("sysctls") == before


@promise("KEEP-04")
def test_programs_of_others_on_our_own_cgroup_stay() -> None:
    """Attached while a command runs; a second one comes and goes on the same route, and the LAN changes."""
    with Lab(main="both") as lab, routed(lab) as command:
        cgroup = command.target.partition("/sys/fs/cgroup/")[2]
        ours = lab.ask("attached")
        attach_theirs(lab, cgroup)
        both = lab.ask("attached")
        assert len(both[f"/{cgroup} 1"]) == len(ours[f"/{cgroup} 1"]) + 1
        with routed(lab) as second:
            assert not astray(lab, second, "tcp", 4, lab.wan1)
            assert lab.ask("attached") == both
        lab.ip("route add 10.99.0.0/16 dev lan0")
        lab.ip("-6 route add fd99::/64 dev lan0")
        for family in FAMILIES:
            for way in WAYS:
                assert not astray(lab, command, way, family, lab.wan1)
        assert lab.ask("attached") == both


@pytest.fixture(scope="module", params=[0, 1], ids=lambda value: f"rp_filter={value}")
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with Lab(main="both", rp_filter=request.param) as lab, routed(lab) as command:
        lab.nft(COUNTING)
        lab.nft(OVERWRITING)
        yield command


@promise("KEEP-03")
@both_families
def test_marks_of_others_on_our_sockets_stay(command: Command, family: int) -> None:
    """A program that sets bits of its own beside ours, as another router of sockets would."""
    ours = command.ask("tcp", to=SERVER[family])
    assert ours.router == "wan1"
    assert ours.mark & 0xFFFFFF == 0
    for way in ("tcp", "udp", "unconnected"):
        before = counted(command.lab)
        heard = command.ask(way, to=SERVER[family], mark=ours.mark | foreign.FOREIGN_MARK)
        assert (heard.router, heard.mark) == ("wan1", ours.mark | foreign.FOREIGN_MARK)
        assert counted(command.lab) > before


def counted(lab: Lab) -> int:
    """How many packets with somebody else's mark the counter has seen."""
    return int(lab.sh("nft list counter inet counting seen").partition("packets ")[2].split()[0])


@promise("KEEP-03", "LEAK-04")
@both_families
def test_a_firewall_that_takes_our_mark_away_opens_no_door(command: Command, family: int) -> None:
    """It overwrites the packet's mark and has it routed anew: by main, where the guard stops it."""
    lab = command.lab
    to = {4: "192.0.2.200", 6: "2001:db8:ffff::200"}[family]
    with bystander(lab) as other:
        assert not astray(lab, other, "udp", family, lab.wan2, to=to)
    assert not astray(lab, command, "udp", family, lab.wan1)
    lab.clear()
    before = command.drops("wan2")
    for way in WAYS:
        command.ask(way, to=to, seconds=0.1)
    assert not elsewhere(lab)
    assert command.drops("wan2") > before


@promise("NEG-05")
def test_what_goes_missing_shows() -> None:
    """The comparison itself, against a clumsy neighbour."""
    with furnished(0, foreign.tailscale) as lab:
        before = snapshot(lab)
        assert not changes(before, snapshot(lab))
        for damage, kind in (
            ("ip rule del pref 4399", "rules4"),
            ("ip -6 route del 2001:db8:dead::/48 metric 7", "routes6"),
            ("nft delete table ip6 theirs", "nft"),
            ("sysctl -qw net.ipv4.conf.wan1.arp_ignore=0", "sysctl net/ipv4/conf/wan1/arp_ignore"),
            ("rmdir /sys/fs/cgroup/procroute-mine.slice", "cgroups"),
        ):
            lab.sh(damage)
            assert kind in gone(before, snapshot(lab))
