"""Without cgroup BPF nft does it; what it cannot promise is a fixed list, and each point of it is seen here.

What it does promise is tested by the modules beside this one that run again so, and at the end of it.
"""

from __future__ import annotations

import importlib
import json
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final, Literal

import pytest

from procroute.core.choose import check_without_bpf
from procroute.core.limits import WITHOUT_BPF
from procroute.errors import ProcrouteError
from procroute.lab import TCP, Lab
from procroute.model import Adapter
from tests.lab import foreign
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.inhabitants import Command, bystander, routed
from tests.netns.no_bpf.conftest import BUT
from tests.netns.running import ENVIRONMENT, ours, procroute, run_by, unchanged, until
from tests.netns.test_blips import BLIPS, Blip, come_back, options
from tests.netns.test_dns import BY_GLIBC, look_up
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, delete_our_rules, elsewhere, own_address

promise = pytest.mark.promise
both_families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
_SHOWN: Final[set[str]] = {"no-bpf-leaving"}
"""By tests/netns/test_leaving.py, ESC-03."""


def shows(limit: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """This test shows that a limit is one."""
    _SHOWN.add(limit)
    return promise("NOBPF-01")


@pytest.fixture
def command() -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with Lab(main="both") as lab, routed(lab) as command:
        yield command


@promise("NOBPF-01")
def test_the_list_is_shown_whole_here_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(WITHOUT_BPF) == _SHOWN
    with Lab() as lab:
        told = json.loads(procroute(lab, "status", "--json").stdout)["limits"]
        assert {limit["id"] for limit in told if limit["id"].startswith("no-bpf")} == _SHOWN
        monkeypatch.delenv("PROCROUTE_NO_BPF")
        told = json.loads(procroute(lab, "status", "--json").stdout)["limits"]
        assert not {limit["id"] for limit in told if limit["id"].startswith("no-bpf")}


# BPF_PROG_QUERY, and attaching, on a kernel without CONFIG_CGROUP_BPF (bpf(2))
_KERNEL_WITHOUT = """
import errno, sys
from procroute.kernel import libbpf
def refuse(*_):
    raise OSError(errno.EINVAL, "Invalid argument")
libbpf.query = libbpf.attach = refuse
from procroute.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@promise("NOBPF-01")
def test_a_kernel_that_has_none_is_noticed_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROCROUTE_NO_BPF")
    request = {"how": "tcp", "to": SERVER[4]}
    ask = f"from tests.netns.probe import answer; print(answer({request})['router'])"
    with Lab(main="both") as lab, unchanged(lab):
        words = [
            sys.executable,
            "-c",
            _KERNEL_WITHOUT,
            "run",
            "--via",
            "wan1",
            "--",
            sys.executable,
            "-c",
            ask,
        ]
        done = lab.run(words, env=ENVIRONMENT)
        assert (done.returncode, done.stdout) == (0, "wan1\n"), done.stderr
        assert "without cgroup BPF nft marks packets: procroute status lists" in done.stderr


@shows("no-bpf-source")
@both_families
def test_getsockname_tells_what_main_chose(command: Command, family: int) -> None:
    heard = command.ask("tcp", to=SERVER[family])
    assert heard.client == own_address(command.lab.wan1, family)
    assert heard.local == own_address(command.lab.wan2, family)


@shows("no-bpf-main")
@both_families
def test_without_a_default_in_main_there_is_no_way(family: int) -> None:
    with Lab(main="none") as lab, routed(lab, *options(lab)) as command:
        assert command.ask("tcp", to=SERVER[family]).error == "ENETUNREACH"
        assert not elsewhere(lab)


@shows("no-bpf-tied")
@both_families
@pytest.mark.parametrize("way", ["tcp", "udp"])
def test_from_anothers_address_it_leaves_by_the_own(command: Command, family: int, way: str) -> None:
    command.lab.clear()
    source = own_address(command.lab.wan2, family)
    heard = command.ask(way, to=SERVER[family], source=source)
    assert (heard.router, heard.client) == ("wan1", own_address(command.lab.wan1, family))
    assert command.ask(way, to=SERVER[family], device="wan2", seconds=0.3).error
    assert not elsewhere(command.lab, "wan1")


@shows("no-bpf-tunnels")
def test_a_tunnel_of_the_kernels_is_refused() -> None:
    with pytest.raises(ProcrouteError) as caught:
        check_without_bpf(Adapter("wg0", 7, kind="wireguard"))
    assert caught.value.code == "adapter-unfit"
    check_without_bpf(Adapter("tun0", 7, kind="tun"))


@shows("no-bpf-resolvers")
def test_a_stub_is_refused_and_resolv_conf_is_not() -> None:
    with Lab() as lab:
        lab.path("/etc/resolv.conf").write_text("nameserver 127.0.0.53\n")
        by = run_by("wan1", "--dns", lab.wan1.wire.dns4)
        asked = look_up(lab, *BY_GLIBC, "sent", "127.0.0.53", "tcp", "127.0.0.53", by=by)
        assert {a["router"] for name, a in asked.items() if name.startswith("glibc")} == {"wan1"}
        errors = {a["error"] for name, a in asked.items() if not name.startswith("glibc")}
        assert errors == {"EPERM", "ECONNREFUSED"}
        assert not elsewhere(lab, "wan1")


@shows("no-bpf-words")
@both_families
def test_refusals_have_other_words(family: int) -> None:
    with Lab(main="both", families={"wan1": "6" if family == 4 else "4"}) as lab, routed(lab) as command:
        heard = command.ask("tcp", to=SERVER[family])
        assert heard.error == {4: "ENETUNREACH", 6: "ECONNREFUSED"}[family]
        assert heard.ms < 300
        assert command.ask("udp", to=SERVER[family]).error == "ENETUNREACH"
        assert command.ask("ping", to=SERVER[family], seconds=2).error
        assert not elsewhere(lab, "wan1")


@shows("no-bpf-mptcp")
@both_families
def test_mptcp_stays_and_leaves_by_the_route(command: Command, family: int) -> None:
    command.lab.clear()
    heard = command.ask("tcp", to=SERVER[family], mptcp=True)
    assert (heard.router, heard.protocol) == ("wan1", 262)
    assert not elsewhere(command.lab, "wan1")


@shows("no-bpf-ports")
@both_families
def test_a_port_tried_in_vain_moves_nobody(command: Command, family: int) -> None:
    lab = command.lab
    with bystander(lab) as other, routed(lab, "--strict", via="wan2") as third:
        lab.wan1.silence(forget=False)
        assert command.ask("tcp", to=SERVER[family], port=7000, source_port=5555, seconds=0.3).error
        lab.wan1.restore()
        lab.clear()
        for who in (other, third):
            heard = who.ask("tcp", to=SERVER[family], source_port=5555, seconds=0.3)
            assert heard.router in {"", "wan2"}
        assert not elsewhere(lab, "wan2", "wan1")
        assert not lab.wan1.packets(destination=SERVER[family], protocol=TCP)


@promise("NOBPF-02")
@pytest.mark.parametrize("strict", [(), ("--strict",)], ids=["lan", "strict"])
def test_what_others_send_elsewhere_or_mark_anew_is_held(strict: tuple[str, ...]) -> None:
    """A published port of this machine's, and a script that marks packets and connections whole."""
    with Lab(main="both") as lab, routed(lab, *strict) as command:
        dnat = f"ip daddr {lab.wan2.wire.address4} tcp dport 8080 dnat to {SERVER[4]}:7000;"
        lab.nft(f"table ip d {{ chain o {{ type nat hook output priority -100; {dnat} }}; }}")
        lab.clear()
        command.ask("tcp", to=lab.wan2.wire.address4, port=8080, seconds=0.3)
        assert not lab.wan2.packets()
        for priority in (-149, -50):
            marks = "ct state new meta mark set 0x2; ct state new ct mark set 0x2;"
            lab.nft(f"table ip l {{ chain o {{ type route hook output priority {priority}; {marks} }}; }}")
            for way in ("udp", "tcp"):
                command.ask(way, to=SERVER[4], seconds=0.2)
            assert not lab.wan2.packets()
            lab.nft("delete table ip l")


@promise("NOBPF-04")
def test_nothing_is_remembered_of_a_route_that_has_ended() -> None:
    """By its number: the next one of that has other conversations."""
    with Lab(main="both") as lab, bystander(lab) as other:
        with routed(lab) as command:
            lab.wan1.silence(forget=False)
            command.ask("tcp", to=SERVER[4], source_port=5555, seconds=0.2)
            lab.wan1.restore()
        lab.nft("table ip n { chain p { type nat hook postrouting priority 100; }; }")  # tracking goes on
        assert other.ask("tcp", to=SERVER[4], source_port=5555).router == "wan2"


@promise("NOBPF-02")
@both_families
def test_a_flushed_ruleset_ends_no_connection(command: Command, family: int) -> None:
    assert not command.ask("tcp", to=SERVER[family], keep="it").error
    command.lab.nft("flush ruleset")
    until(lambda: "procroute" in command.lab.sh("nft list tables"), 3)
    assert command.ask("again", name="it").said


@shows("no-bpf-flush")
@both_families
def test_a_flushed_ruleset_lets_it_out_until_it_is_repaired(command: Command, family: int) -> None:
    lab = command.lab
    command.freeze()
    lab.nft("flush ruleset")
    assert command.ask("tcp", to=SERVER[family]).router == "wan2"
    command.thaw()
    until(lambda: command.ask("tcp", to=SERVER[family]).router == "wan1", 3)


@shows("no-bpf-cost")
def test_the_whole_machine_is_tracked() -> None:
    with Lab(main="both") as lab, bystander(lab) as other:
        with routed(lab):
            assert not astray(lab, other, "udp", 4, lab.wan2)
            assert int(lab.sh("cat /proc/sys/net/netfilter/nf_conntrack_count")) > 0


# --- and what it does promise


@promise("NOBPF-02")
@pytest.mark.parametrize("name", [name for name in BLIPS if "unasked" not in name])
def test_nothing_leaves_elsewhere_while_the_adapter_is_not_well(name: str) -> None:
    blip: Blip = BLIPS[name]
    with Lab(main="both") as lab, routed(lab) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
        lab.clear()
        blip.happen(lab)
        for _ in range(3):
            for family in blip.families:
                for way in WAYS:
                    assert command.ask(way, to=SERVER[family], seconds=0.2).error or way == "ping"
        assert not elsewhere(lab, "wan1")
        come_back(lab)
        for family in FAMILIES:
            until(lambda family=family: not astray(lab, command, "tcp", family, lab.wan1), 8)  # type: ignore[misc]


@promise("NOBPF-02")
@both_families
def test_with_our_rules_gone_the_guard_holds(command: Command, family: int) -> None:
    lab = command.lab
    assert not astray(lab, command, "tcp", family, lab.wan1)
    command.freeze()
    delete_our_rules(lab)
    lab.clear()
    for way in ("tcp", "udp", "unconnected"):
        assert command.ask(way, to=SERVER[family], seconds=0.2).error
    assert not elsewhere(lab)
    assert command.drops("wan2") > 0
    told = json.loads(procroute(lab, "status", "--json").stdout)["routes"][0]
    assert told["dropped"]["wan2"] == command.drops("wan2")
    assert told["marks"] == {"carried_by": "packets", "lost": None}


@promise("NOBPF-02", "NEG-02")
@both_families
def test_without_the_guard_it_would_not(command: Command, family: int) -> None:
    lab = command.lab
    command.freeze()
    delete_our_rules(lab)
    lab.nft("flush chain inet procroute guard")
    lab.clear()
    command.ask("tcp", to=SERVER[family], seconds=0.2)
    assert elsewhere(lab)


@promise("NOBPF-02", "NEG-01")
@both_families
def test_without_the_marking_chain_it_leaves_by_main(command: Command, family: int) -> None:
    command.freeze()
    command.lab.nft("flush chain inet procroute belt")
    command.lab.clear()
    assert command.ask("tcp", to=SERVER[family], seconds=0.2).error, "held by what comes late"
    assert not elsewhere(command.lab, "wan1")
    command.lab.nft("flush chain inet procroute late")
    assert command.ask("tcp", to=SERVER[family]).router == "wan2"


@promise("NOBPF-02")
@both_families
def test_a_firewall_that_takes_marks_away_opens_no_door(command: Command, family: int) -> None:
    lab = command.lab
    chain = "type route hook output priority 0; policy accept; meta mark set 0;"
    lab.nft(f"table inet theirs {{ chain out {{ {chain} }}; }}")
    lab.clear()
    for way in ("tcp", "udp"):
        command.ask(way, to=SERVER[family], seconds=0.2)
    assert not elsewhere(lab, "wan1")


@promise("NOBPF-03")
def test_packets_are_counted_both_ways(command: Command) -> None:
    def told() -> tuple[int, int]:
        route = json.loads(procroute(command.lab, "status", "--json").stdout)["routes"][0]
        return route["out"]["packets"], route["in"]["packets"]

    before = told()
    for _ in range(5):
        assert command.ask("udp", to=SERVER[4]).router == "wan1"
    assert told() == (before[0] + 5, before[1] + 5)
    table = command.lab.sh("nft -t list table inet procroute | grep comment")
    command.lab.ip("address add 10.77.0.1/24 dev wan2")
    until(
        lambda: command.lab.sh("nft -t list table inet procroute | grep comment") != table, what="a new table"
    )
    assert told() == (before[0] + 5, before[1] + 5)


@promise("NOBPF-04")
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_it_is_cleaned_up_whatever_happens(rp_filter: Literal[0, 1, 2]) -> None:
    with Lab(main="both", rp_filter=rp_filter) as lab:
        if rp_filter == 2:
            foreign.firewalld(lab)
        with unchanged(lab), routed(lab) as command:
            assert not astray(lab, command, "tcp", 4, lab.wan1)
        assert not ours(lab)


@promise("NOBPF-04", "KILL-01", "KILL-02")
def test_a_killed_engine_leaves_it_routed_and_cleanup_removes_all() -> None:
    with Lab(main="both") as lab, unchanged(lab):
        with crowd(lab, [("wan1",)]) as (command,), bystander(lab) as other:
            kill_engine(command.process)
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan1)
                assert not astray(lab, other, "tcp", family, lab.wan2)
            assert procroute(lab, "cleanup").returncode == 3
            assert procroute(lab, "cleanup", "--force").returncode == 0
            assert not ours(lab)
            hang_up(command.process)


@promise("NOBPF-01")
def test_each_test_that_must_fail_is_there() -> None:
    """A pattern that meets nothing, after a test was renamed, would except nothing."""
    for name, patterns in BUT.items():
        module = importlib.import_module(f"tests.netns.{name}")
        tests = [test for test in dir(module) if test.startswith("test_")]
        for pattern in patterns:
            assert any(pattern.partition("\\[")[0] in test for test in tests), (name, pattern)


@promise("NOBPF-05")
def test_routes_of_both_kinds_live_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """One was made where BPF could be had; each keeps its own way."""
    with Lab(main="both") as lab, unchanged(lab), routed(lab) as one:
        monkeypatch.delenv("PROCROUTE_NO_BPF")
        with routed(lab, "--strict", via="wan2") as two:
            for _ in range(2):
                for family in FAMILIES:
                    assert one.ask("tcp", to=SERVER[family]).local == own_address(lab.wan2, family)
                    assert one.ask("tcp", to=SERVER[family]).client == own_address(lab.wan1, family)
                    assert not astray(lab, two, "tcp", family, lab.wan2)
                lab.ip("address add 198.51.100.99/24 dev wan1")
                lab.ip("address delete 198.51.100.99/24 dev wan1")
            assert two.ask("tcp", to=SERVER[4]).protocol == socket.IPPROTO_TCP
