"""What a process does with its sockets while they are being moved: they are judged by what they are then."""

from __future__ import annotations

import pytest

from procroute.core import moving
from procroute.lab import Lab
from tests.netns.inhabitants import bystander
from tests.netns.moving import mover, pid_of, way_of
from tests.netns.traffic import SERVER, both_families, own_address

promise = pytest.mark.promise


@promise("MOVE-10")
@pytest.mark.parametrize("existing", ["keep", "reset"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_families
def test_what_is_connected_meanwhile_is_a_connection(family: int, kind: str, existing: str) -> None:
    with Lab(main="both") as lab, bystander(lab) as living, mover(lab) as move:
        living.ask("fresh", kind=kind, family=family, name=kind)

        def connect() -> None:
            heard = living.ask("reach", name=kind, to=SERVER[family])
            assert heard.local == own_address(lab.wan2, family)

        moved = move.meanwhile("assign", connect, pids=[pid_of(living)], existing=existing)
        assert moved == {"remain" if existing == "keep" else "reset": 1}
        if existing == "reset":
            assert living.ask("again", name=kind).error in ("ECONNABORTED", "EDESTADDRREQ")
        else:
            assert way_of(lab, living, kind, family) == "wan2"


@promise("MOVE-10")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_families
def test_what_is_connected_while_it_is_let_go_stays_on_the_route(family: int, kind: str) -> None:
    with Lab(main="both") as lab, bystander(lab) as living, mover(lab) as move:
        living.ask("fresh", kind=kind, family=family, name=kind)
        assert move.assign(pid_of(living))["moved"] == {"follow": 1}

        def connect() -> None:
            heard = living.ask("reach", name=kind, to=SERVER[family])
            assert heard.local == own_address(lab.wan1, family)

        assert move.meanwhile("release", connect, pid=pid_of(living)) == {"remain": 1}
        assert way_of(lab, living, kind, family) == "wan1"


@promise("MOVE-10")
@both_families
def test_what_is_bound_meanwhile_is_tied_to_its_address(family: int) -> None:
    with Lab(main="both") as lab, bystander(lab) as living, mover(lab) as move:
        living.ask("fresh", kind="udp", family=family, name="unconnected")

        def bind() -> None:
            living.ask("tie", name="unconnected", address=own_address(lab.wan2, family))

        moved = move.meanwhile("assign", bind, pids=[pid_of(living)])
        assert moved == {"left": {moving.ADDRESS: 1}}
        assert way_of(lab, living, "unconnected", family) == "wan2"


@promise("MOVE-10")
@both_families
def test_what_is_only_sent_by_meanwhile_follows(family: int) -> None:
    with Lab(main="both") as lab, bystander(lab) as living, mover(lab) as move:
        living.ask("fresh", kind="udp", family=family, name="unconnected")

        def send() -> None:
            assert way_of(lab, living, "unconnected", family) == "wan2"

        assert move.meanwhile("assign", send, pids=[pid_of(living)]) == {"follow": 1}
        assert way_of(lab, living, "unconnected", family) == "wan1"
