"""A gateway dies behind its carrier: the route leaves by the next adapter, and goes back when it lives."""

from __future__ import annotations

import pytest

from procroute.lab import Lab
from tests.netns.checking import checks, deafen, found, kind_of_check
from tests.netns.daemons import daemon, placed
from tests.netns.running import until
from tests.netns.test_reload import configure
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray

ROUTE = '[route.best]\nadapters = ["wan1", "wan2"]\nhold = 0.5\n'


@pytest.mark.promise("HEALTH-12")
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_a_dead_gateway_moves_a_route_to_its_next_adapter(rp_filter: int) -> None:
    with Lab(main="both", rp_filter=rp_filter) as lab:  # type: ignore[arg-type]
        each = [kind_of_check("ping", family) for family in FAMILIES]
        configure(lab, ROUTE + checks("wan1", *each, interval=0.3, down=2))
        with daemon(lab), placed(lab, 0, via="best") as command:
            until(lambda: found(lab, "wan1")["state"] == "up", 15)
            assert command.ask("tcp", to=SERVER[4]).router == "wan1"
            deafen(lab.wan1)
            until(lambda: found(lab, "wan1")["state"] == "down", 15)
            until(lambda: command.ask("tcp", to=SERVER[4]).router == "wan2", 5)
            for family in FAMILIES:
                for way in WAYS:
                    strays = astray(lab, command, way, family, lab.wan2)
                    assert not [s for s in strays if not s.startswith("wan1")], "but the checks"
            assert found(lab, "wan1")["state"] == "down", "checks go on by the dead one"
            deafen(lab.wan1, on=False)
            until(lambda: found(lab, "wan1")["state"] == "up", 15)
            until(lambda: command.ask("tcp", to=SERVER[4]).router == "wan1", 15)
