"""Processes that run already are put on a route and let go: which way their open sockets go from then on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.core import moving
from procroute.lab import Lab
from tests.netns.inhabitants import Inhabitant, bystander
from tests.netns.moving import Mover, furnish, mover, pid_of, way_of
from tests.netns.running import until
from tests.netns.traffic import SERVER, astray, both_families, own_address

promise = pytest.mark.promise


@contextmanager
def moved_about(main: str = "both") -> Iterator[tuple[Lab, Inhabitant, Mover]]:
    """A lab whose machine prefers wan2, somebody who lives there, and a mover."""
    with Lab(main=main) as lab, bystander(lab) as living, mover(lab) as move:  # type: ignore[arg-type]
        yield lab, living, move


@promise("MOVE-01", "MOVE-02", "MOVE-05")
@both_families
def test_what_is_new_and_unconnected_udp_follow_there_and_back(family: int) -> None:
    with moved_about() as (lab, living, move), bystander(lab) as other:
        furnish(living, family)
        furnish(other, family)
        for name in ("tcp", "udp", "unconnected"):
            assert way_of(lab, living, name, family) == "wan2"
        answer = move.assign(pid_of(living), via="wan1")
        assert answer["moved"] == {"follow": 1, "remain": 2}
        assert way_of(lab, living, "unconnected", family) == "wan1"
        assert way_of(lab, living, "tcp", family) == "wan2"
        assert way_of(lab, living, "udp", family) == "wan2"
        for way in ("tcp", "udp", "unconnected", "ping"):
            assert not astray(lab, living, way, family, lab.wan1)
            assert not astray(lab, other, way, family, lab.wan2)
        assert way_of(lab, other, "unconnected", family) == "wan2"
        assert move.release(pid_of(living)) == {"follow": 1}
        assert way_of(lab, living, "unconnected", family) == "wan2"
        for way in ("tcp", "udp", "unconnected", "ping"):
            assert not astray(lab, living, way, family, lab.wan2)


@promise("MOVE-03")
@both_families
def test_connections_are_reset_if_told_so_and_only_those(family: int) -> None:
    with moved_about() as (lab, living, move), bystander(lab) as other:
        furnish(living, family)
        furnish(other, family)
        living.ask("pair", name="loop", family=family)
        living.ask("serve", transport="tcp", address="::" if family == 6 else "0.0.0.0", port=9000)
        moved = move.assign(pid_of(living), via="wan1", existing="reset")["moved"]
        assert moved == {"follow": 1, "reset": 2, "left": {moving.LISTENING: 1}}
        assert living.ask("again", name="tcp").error == "ECONNABORTED"
        assert living.ask("again", name="udp").error in ("ECONNABORTED", "EDESTADDRREQ")
        assert living.ask("paired", name="loop").said == "word"
        assert lab.wan2.dial(
            "192.0.2.9" if family == 4 else "2001:db8:ffff::9", own_address(lab.wan2, family), 9000
        ).text
        for name in ("tcp", "udp", "unconnected"):
            assert way_of(lab, other, name, family) == "wan2"
        furnish(living, family)
        for name in ("tcp", "udp", "unconnected"):
            assert way_of(lab, living, name, family) == "wan1"
        assert move.release(pid_of(living), existing="reset")["reset"] == 2
        assert living.ask("again", name="tcp").error == "ECONNABORTED"
        assert way_of(lab, living, "unconnected", family) == "wan2"


@promise("MOVE-02")
@both_families
def test_sockets_not_yet_used_follow(family: int) -> None:
    with moved_about() as (lab, living, move):
        living.ask("fresh", kind="tcp", family=family, name="tcp")
        living.ask("fresh", kind="udp", family=family, name="unconnected")
        assert move.assign(pid_of(living), via="wan1")["moved"] == {"follow": 2}
        heard = living.ask("reach", name="tcp", to=SERVER[family])
        assert (heard.router, heard.local) == (lab.wan1.wire.node, own_address(lab.wan1, family))
        assert way_of(lab, living, "tcp", family) == "wan1"
        assert way_of(lab, living, "unconnected", family) == "wan1"


@promise("MOVE-04")
@both_families
def test_servers_and_what_is_tied_elsewhere_stay_and_are_told(family: int) -> None:
    any_address = "::" if family == 6 else "0.0.0.0"
    with moved_about() as (lab, living, move):
        for transport, port in (("udp", 9000), ("udp", 40000), ("tcp", 9001)):
            living.ask("serve", transport=transport, address=any_address, port=port)
        for number in (1, 2):  # tied to an address; a port of the kernel's choice
            uplink = (lab.wan1, lab.wan2)[number - 1]
            living.ask(
                "unconnected",
                to=SERVER[family],
                source=own_address(uplink, family),
                keep=f"unconnected {number}",
            )
        living.ask("unconnected", to=SERVER[family], device="wan2", keep="unconnected on wan2")
        living.ask("unconnected", to=SERVER[family], unicast="wan2", keep="unconnected told wan2")
        moved = move.assign(pid_of(living), via="wan1")["moved"]
        assert moved["left"] == {
            moving.SERVERS: 2,
            moving.LISTENING: 1,
            moving.ADDRESS: 1,
            moving.ADAPTER: 2,
        }
        assert moved["follow"] == 1
        assert way_of(lab, living, "unconnected 1", family) == "wan1"
        assert way_of(lab, living, "unconnected 2", family) == "wan2"
        assert way_of(lab, living, "unconnected on wan2", family) == "wan2"
        assert way_of(lab, living, "unconnected told wan2", family) == "wan2"
        client = "192.0.2.9" if family == 4 else "2001:db8:ffff::9"
        answer = lab.wan2.dial(client, own_address(lab.wan2, family), 9000, "udp")
        assert answer.text.startswith("served at")


@promise("MOVE-04")
@both_families
def test_servers_follow_when_told(family: int) -> None:
    with moved_about() as (lab, living, move):
        address = "::" if family == 6 else "0.0.0.0"
        living.ask("serve", transport="udp", address=address, port=9000)
        assert move.assign(pid_of(living), via="wan1", servers=True)["moved"] == {"follow": 1}
        lab.clear()
        living.ask("send_from", name=f"udp {address} 9000", to=SERVER[family])
        lab.settle()
        assert lab.wan1.packets()
        assert not lab.wan2.packets()


@promise("MOVE-04", "MOVE-05")
@both_families
def test_what_a_parent_outside_holds_too_stays(family: int) -> None:
    with moved_about() as (lab, living, move):
        furnish(living, family)
        child = living.ask("fork").pid
        moved = move.assign(child, via="wan1", existing="reset")["moved"]
        assert moved == {"left": {moving.SHARED: 3}}
        for name in ("tcp", "udp", "unconnected"):
            assert way_of(lab, living, name, family) == "wan2"
        # The twin: with the parent they are theirs.
        assert move.assign(pid_of(living), via="wan1")["moved"]["left"] == {moving.SHARED: 1}
        move.release(child)
        move.release(pid_of(living))
        moved = move.assign(pid_of(living), via="wan1", tree=True)["moved"]
        assert moved == {"follow": 1, "remain": 2}
        assert way_of(lab, living, "unconnected", family) == "wan1"


@promise("MOVE-04", "MOVE-05")
@both_families
def test_what_is_held_outside_by_one_whose_first_thread_has_ended_stays(family: int) -> None:
    with moved_about() as (lab, living, move):
        furnish(living, family)
        child = living.ask("fork", headless=True).pid
        stat = lab.path(f"/proc/{child}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
        moved = move.assign(pid_of(living), via="wan1", existing="reset")["moved"]
        assert moved == {"left": {moving.SHARED: 3}}
        for name in ("tcp", "udp", "unconnected"):
            assert way_of(lab, living, name, family) == "wan2"


@promise("MOVE-08", "MOVE-09")
@both_families
def test_what_was_made_on_a_route_leaves_it_and_what_stays_keeps_its_number(family: int) -> None:
    with moved_about() as (lab, living, move):
        pid = pid_of(living)
        move.assign(pid, via="wan1")
        furnish(living, family)
        for name in ("tcp", "udp", "unconnected"):
            assert way_of(lab, living, name, family) == "wan1"
        assert move.ask("count")["counts"] == [{"on_route": 3}]
        assert move.release(pid) == {"follow": 1, "remain": 2}
        assert way_of(lab, living, "unconnected", family) == "wan2"
        assert way_of(lab, living, "tcp", family) == "wan1"
        assert sorted(one[:2] for one in move.carriers(1)) == [
            ("TCP", SERVER[family]),
            ("UDP", SERVER[family]),
        ]
        assert all(one[2] == [pid] for one in move.carriers(1))
        # There and back, and by the other one.
        assert move.assign(pid, via="wan1")["moved"] == {"follow": 1}
        assert way_of(lab, living, "unconnected", family) == "wan1"
        assert move.release(pid)["follow"] == 1
        assert move.assign(pid, via="wan2")["moved"] == {"follow": 1, "remain": 2}
        assert way_of(lab, living, "unconnected", family) == "wan2"
        assert [one[0] for one in move.carriers(2)] == ["UDP"]
        assert move.release(pid)["follow"] == 1
        assert not move.carriers(2)


@promise("MOVE-08")
@both_families
def test_a_number_is_given_again_when_nothing_carries_it(family: int) -> None:
    with moved_about() as (_, living, move):
        pid = pid_of(living)
        move.assign(pid, via="wan1")
        living.ask("udp", to=SERVER[family], keep="udp")
        move.release(pid)
        move.ask("forget")
        assert move.ask("next_number", via="wan2")["number"] == 2
        living.ask("drop", name="udp")
        assert move.ask("next_number", via="wan2")["number"] == 1


@promise("NEG-06")
@both_families
def test_without_a_word_to_the_guard_it_holds_what_was_let_go(family: int) -> None:
    with moved_about() as (lab, living, move):
        pid = pid_of(living)
        move.assign(pid, via="wan1")
        furnish(living, family)
        assert move.release(pid, silently=True)["follow"] == 1
        assert way_of(lab, living, "unconnected", family) != "wan2"
