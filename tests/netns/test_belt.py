"""The belt: nft marks what has lost the mark of its socket, counts it, and lets everything else be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import quote
from typing import Literal

import pytest

from procroute.lab import Lab
from tests.lab import foreign
from tests.netns.inhabitants import Command, bystander, routed
from tests.netns.running import procroute, until
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, both_families, elsewhere, own_address

promise = pytest.mark.promise
UNMARKED = pytest.mark.parametrize("way", ["tcp", "udp"])


@pytest.fixture
def losing() -> Iterator[Command]:
    """A command that may take the mark off its sockets, since it is root."""
    with Lab(main="both") as lab, routed(lab) as command:
        yield command


def unmarked(command: Command, way: str, family: int, keep: str = "") -> str:
    """Send from a socket with the adapter's address and no mark; what went wrong.

    keep: leave it open; when it is closed the kernel's last word for it has no mark, and no cgroup.
    """
    command.lab.clear()
    source = own_address(command.lab.wan1, family)
    return command.ask(way, to=SERVER[family], mark=0, source=source, seconds=0.5, keep=keep).error


@promise("BELT-01")
@UNMARKED
@both_families
def test_what_has_lost_its_mark_keeps_the_route_and_is_counted(
    losing: Command, family: int, way: str
) -> None:
    assert losing.lost() == 0
    assert not unmarked(losing, way, family, keep="it")
    assert not elsewhere(losing.lab, "wan1")
    assert losing.lost() > 0


@promise("BELT-01")
@UNMARKED
@both_families
def test_without_the_belt_it_would_not(losing: Command, family: int, way: str) -> None:
    losing.freeze()
    losing.lab.nft("delete table inet procroute")
    assert unmarked(losing, way, family)
    assert not elsewhere(losing.lab), "the guard holds it back"
    losing.thaw()


@promise("BELT-02")
def test_status_tells_how_many(losing: Command) -> None:
    assert json.loads(procroute(losing.lab, "status", "--json").stdout)["routes"][0]["marks"] == {
        "carried_by": "both",
        "lost": 0,
    }
    assert not unmarked(losing, "udp", 4)
    told = json.loads(procroute(losing.lab, "status", "--json").stdout)["routes"][0]["marks"]["lost"]
    assert told == losing.lost() == 1
    assert "1 had lost their mark" in " ".join(procroute(losing.lab, "status").stdout.split())


@promise("BELT-03")
@pytest.mark.parametrize("rp_filter", [0, 1])
@both_families
def test_it_never_has_anything_to_do(family: int, rp_filter: Literal[0, 1]) -> None:
    with Lab(main="both", rp_filter=rp_filter) as lab:
        foreign.firewalld(lab)
        with routed(lab) as command:
            for way in WAYS:
                assert not astray(lab, command, way, family, lab.wan1)
            command.ask("serve", transport="tcp", address=own_address(lab.wan1, family), port=80)
            assert not command.ask("tcp", to=SERVER[family], port=9).router  # a reset
            assert command.counters()["lost_1"] == 0


@promise("BELT-04")
@both_families
def test_bystanders_are_not_marked(family: int) -> None:
    with Lab(main="both") as lab, routed(lab), bystander(lab) as other:
        for way in WAYS:
            assert not astray(lab, other, way, family, lab.wan2)


@promise("BELT-05")
@pytest.mark.parametrize(
    "damage",
    [
        "delete table inet procroute",
        "flush ruleset",
        "flush table inet procroute",
        "flush chain inet procroute belt",
        "flush map inet procroute targets_2",
    ],
)
def test_it_is_repaired(losing: Command, damage: str) -> None:
    lab = losing.lab
    assert not unmarked(losing, "udp", 4)
    losing.freeze()
    lab.nft(damage)
    assert unmarked(losing, "udp", 4), "it did no harm"
    losing.thaw()
    until(lambda: not unmarked(losing, "udp", 4), 3, "the belt")


@promise("BELT-06")
def test_it_can_be_left_out() -> None:
    with Lab(main="both") as lab:
        lab.sh("mkdir -p /etc/procroute && echo 'packet_marks = false' > /etc/procroute/config.toml")
        with routed(lab) as command:
            assert "procroute" not in lab.sh("nft list tables")
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan1)
            # Another one, and a change of the file: a route keeps what it was made with.
            lab.sh("rm /etc/procroute/config.toml")
            assert procroute(lab, "run", "--via", "wan1", "--", "true").returncode == 0
            assert "procroute" not in lab.sh("nft list tables")
            marks = json.loads(procroute(lab, "status", "--json").stdout)["routes"][0]["marks"]
            assert marks == {"carried_by": "sockets", "lost": None}


@promise("BELT-01")
def test_names_with_dashes_and_odd_letters_are_found() -> None:
    """A slice has these escaped; nft takes its path as it is."""
    with Lab(main="both") as lab:
        for n, name in enumerate(("wg-home", "eth0.100", "a-b@c\"d'e"), 1):
            own, gateway = f"10.9.{n}.1", f"10.9.{n}.2"
            lab.sh(f"ip link add name {quote(name)} type veth peer name p{n}; ip link set p{n} up")
            lab.sh(f"ip link set {quote(name)} up; ip address add {own}/24 dev {quote(name)}")
            with routed(lab, "--gateway4", gateway, via=name) as command:
                command.ask("udp", to="192.0.2.200", mark=0, source=own, seconds=0.1)
                assert command.lost() == 1, name
