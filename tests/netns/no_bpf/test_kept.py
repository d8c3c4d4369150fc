"""What nft does promise where there is no cgroup BPF; what it cannot: test_limits.py."""

from __future__ import annotations

import json
import socket
from typing import Literal

import pytest

from procroute.lab import Lab
from tests.lab import foreign
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.inhabitants import Command, bystander, routed
from tests.netns.running import ours, procroute, unchanged, until
from tests.netns.test_blips import BLIPS, Blip, come_back
from tests.netns.traffic import (
    FAMILIES,
    SERVER,
    WAYS,
    astray,
    both_families,
    delete_our_rules,
    elsewhere,
    own_address,
)

promise = pytest.mark.promise


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
