"""Adapters with odd names under systemd: a route's slice is escaped, and none lies below another's."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import SYSTEMD, SystemdBox
from tests.netns.inhabitants import routed
from tests.netns.running import ours, procroute
from tests.netns.test_layouts import rename
from tests.netns.traffic import FAMILIES, SERVER
from tests.systemd.test_placement import in_slice, made_by_hand

promise = pytest.mark.promise
NAMES = {
    "wg-home": r"procroute-wg\x2dhome.slice",
    "wg0-mullvad": r"procroute-wg0\x2dmullvad.slice",
    "enp0s31f6": "procroute-enp0s31f6.slice",
    "eth0.100": "procroute-eth0.100.slice",
    "exactly15octets": "procroute-exactly15octets.slice",
    "a-b.c@d": r"procroute-a\x2db.c\x40d.slice",
}
ALTNAME = "fibre-line.at@home"


@pytest.fixture(scope="module", params=list(SYSTEMD))
def own(request: pytest.FixtureRequest) -> Iterator[SystemdBox]:
    """A box of these tests alone: they rename its first uplink."""
    with SystemdBox(request.param, main="both") as box:
        box.ip(f"link property add dev wan1 altname {ALTNAME}")
        yield box


def both_are_routed(box: SystemdBox, name: str, slice_: str) -> None:
    """A command by the adapter and a service in its slice go by it; the slices are what they shall be."""
    with routed(box, via=name) as command, routed(box, "--strict", "--user", "ada", via=name):
        said = procroute(box, "unit", "slice", name)
        assert (said.returncode, said.stdout, said.stderr) == (0, f"{slice_}\n", "")
        assert f"/procroute.slice/{slice_}/" in command.ask("hello").cgroup
        strict = slice_.replace(".slice", r"\x7estrict.slice")
        assert box.units("procroute*.slice") == dict.fromkeys(("procroute.slice", slice_, strict), "active")
        with in_slice(box, slice_, "--pipe", "--wait") as service:
            for who in (command, service):
                for family in FAMILIES:
                    assert who.ask("tcp", to=SERVER[family]).router == "wan1"
        assert not made_by_hand(box)
        shown = json.loads(procroute(box, "status", "--json").stdout)["routes"]
        assert f"/procroute.slice/{slice_}/" in shown[0]["assignments"][0]["cgroup"]
    assert not ours(box)
    assert not box.units("procroute*")


@promise("UNIT-02", "UNIT-03", "UNIT-04")
@pytest.mark.parametrize("name", NAMES)
def test_the_slice_of_an_adapter_with_an_odd_name(own: SystemdBox, name: str) -> None:
    rename(own, "wan1", name)
    try:
        both_are_routed(own, name, NAMES[name])
    finally:
        rename(own, name, "wan1")


@promise("UNIT-02", "UNIT-03", "UNIT-04")
def test_the_slice_of_an_alternative_name_is_the_adapters(own: SystemdBox) -> None:
    both_are_routed(own, ALTNAME, "procroute-wan1.slice")


@promise("UNIT-05")
def test_so_it_is_in_a_users_own_manager(own: SystemdBox) -> None:
    rename(own, "wan1", "wg-home")
    try:
        with routed(own, "--user", "ada", via="wg-home") as command:
            assert r"@1000.service/procroute.slice/procroute-wg\x2dhome.slice/" in command.ask("hello").cgroup
            words = ["systemd-run", "--user", "--scope", "--quiet", r"--slice=procroute-wg\x2dhome.slice"]
            ask = f"import socket; print(socket.create_connection(('{SERVER[6]}', 7000)).recv(99))"
            done = own.as_ada([*words, "python3", "-c", ask])
            assert '"router": "wan1"' in done.stdout, done.stderr
        assert not ours(own)
    finally:
        rename(own, "wg-home", "wan1")
