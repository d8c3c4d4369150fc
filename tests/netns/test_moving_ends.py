"""The daemon ends while connections go on that were kept on a route: what becomes of their sockets."""

from __future__ import annotations

import pytest

from procroute.lab import Lab
from tests.netns.daemons import daemon
from tests.netns.inhabitants import Inhabitant, bystander
from tests.netns.moving import pid_of, way_of
from tests.netns.running import procroute
from tests.netns.traffic import SERVER, both_families, own_address

promise = pytest.mark.promise


def _assign(lab: Lab, living: Inhabitant) -> None:
    done = procroute(lab, "assign", str(pid_of(living)), "--via", "wan1")
    assert done.returncode == 0, done.stderr


@promise("MOVE-11")
@both_families
def test_an_ended_connections_socket_is_a_bystanders_again(family: int) -> None:
    with Lab(main="both") as lab, bystander(lab) as living, bystander(lab) as other:
        living.ask("fresh", kind="udp", family=family, name="older")
        with daemon(lab):
            _assign(lab, living)
            living.ask("fresh", kind="udp", family=family, name="born")
            for name in ("older", "born"):
                assert living.ask("reach", name=name, to=SERVER[family]).router == lab.wan1.wire.node
            done = procroute(lab, "release", str(pid_of(living)))
            assert done.returncode == 0, done.stderr
            for name in ("older", "born"):
                assert way_of(lab, living, name, family) == "wan1"
        for name in ("older", "born"):
            assert living.ask("again", name=name).error in ("ECONNABORTED", "EDESTADDRREQ")
            living.ask("reach", name=name, to=SERVER[family])  # the error may be told once more
        with daemon(lab):
            _assign(lab, other)  # and gets the number that the first one's route had
            for name in ("older", "born"):
                heard = living.ask("reach", name=name, to=SERVER[family])
                assert (heard.router, heard.local, heard.error) == (
                    lab.wan2.wire.node,
                    own_address(lab.wan2, family),
                    "",
                )
                assert way_of(lab, living, name, family) == "wan2"
