"""`procroute status` under systemd: also what runs in users' own parts of the tree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.inhabitants import routed
from tests.netns.running import ours, procroute
from tests.netns.traffic import FAMILIES, SERVER, own_address

promise = pytest.mark.promise


def told(box: SystemdBox) -> dict[str, Any]:
    """What the verb says of the one route."""
    (route,) = json.loads(procroute(box, "status", "--json").stdout)["routes"]
    return dict(route)


@promise("LOOK-02", "UNIT-05")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
def test_a_users_command_is_shown_and_counted(box: SystemdBox, family: int) -> None:
    with routed(box) as of_root, routed(box, "--user", "ada") as command:
        for who in (of_root, command):
            assert not who.ask("udp", to=SERVER[family]).error
        route = told(box)
        cgroups = {who.ask("hello").cgroup: user for who, user in ((of_root, "root"), (command, "ada"))}
        assert {a["cgroup"]: a["processes"][0]["user"] for a in route["assignments"]} == cgroups
        assert [route[way]["packets"] for way in ("out", "in")] == [2, 2]
        command.ask("udp", to=SERVER[family], source=own_address(box.wan2, family), seconds=0.3)
        assert told(box)["dropped"] == {"wan2": 1}
        assert " ada " in procroute(box, "status").stdout
    assert not ours(box)
