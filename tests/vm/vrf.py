"""Beside VRFs: routes go on, members of a VRF are refused, and what lives in one is let be.

Run in a virtual machine (`make test-vm`), for a kernel with VRFs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import WAN1, WAN2, Lab
from tests.netns.inhabitants import Inhabitant, bystander, routed
from tests.netns.running import procroute, unchanged
from tests.netns.traffic import SERVER, WAYS, astray, both_families, elsewhere, own_address

promise = pytest.mark.promise


@pytest.fixture(scope="module", params=[0, 1, 2], ids=lambda value: f"rp_filter={value}")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """wan2 is in the VRF blue, whose table has the default by it; main has the one by wan1."""
    with Lab(main="both", rp_filter=request.param) as lab:
        lab.sh(
            "ip link add blue type vrf table 10; ip link set blue up; ip link set wan2 master blue;"
            f"ip address replace {WAN2.machine4} dev wan2;"
            f"ip -6 address replace {WAN2.machine6} dev wan2 nodad;"
            f"ip route replace default via {WAN2.gateway4} dev wan2 table 10;"
            f"ip -6 route replace default via {WAN2.gateway6} dev wan2 table 10;"
            "ip route del default dev wan2 2>/dev/null; ip -6 route del default dev wan2 2>/dev/null; true"
        )
        yield lab


def in_vrf(lab: Lab, who: Inhabitant, family: int) -> list[str]:
    """What is wrong with what somebody sends in the VRF."""
    lab.clear()
    heard = who.ask("tcp", to=SERVER[family], device="blue")
    found = [heard.error] if heard.error else []
    if heard.client != own_address(lab.wan2, family):
        found.append(f"the server saw {heard.client}")
    return found + elsewhere(lab, "wan2")


@promise("PATH-06", "BY-03")
@both_families
def test_routes_go_on_beside_a_vrf(lab: Lab, family: int) -> None:
    with unchanged(lab), bystander(lab) as other:
        assert not in_vrf(lab, other, family)
        with routed(lab) as command:
            for way in WAYS:
                assert not astray(lab, command, way, family, lab.wan1)
            assert not in_vrf(lab, other, family)


@promise("LEAK-03", "NEG-02")
@both_families
def test_a_command_does_not_get_out_by_the_vrf(lab: Lab, family: int) -> None:
    with routed(lab) as command:
        lab.clear()
        assert command.ask("tcp", to=SERVER[family], device="blue", seconds=1).error
        assert not elsewhere(lab, "wan1")
        assert not astray(lab, command, "tcp", family, lab.wan1)
        command.switch_off("guard", "attempt")
        assert not in_vrf(lab, command, family)


@promise("ERR-10")
@pytest.mark.parametrize(
    ("via", "says"), [("wan2", "wan2 belongs to the VRF blue"), ("blue", "blue is a VRF")]
)
def test_neither_a_member_nor_the_vrf_is_a_way_out(lab: Lab, via: str, says: str) -> None:
    with unchanged(lab):
        done = procroute(lab, "run", "--via", via, "--", "echo", "it ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert says in done.stderr
    assert "ip vrf exec blue CMD" in done.stderr


@promise("ID-02")
@both_families
def test_table_local_moved_as_for_vrfs_is_refused(family: int) -> None:
    """The recipe of the kernel's documentation (networking/vrf.rst): local behind l3mdev, and behind ours."""
    with Lab(main="both") as lab:
        lab.sh(
            "ip link add blue type vrf table 10; ip link set blue up;"
            f"ip -{family} rule add pref 32765 table local; ip -{family} rule del pref 0"
        )
        with unchanged(lab):
            done = procroute(lab, "run", "--via", WAN1.adapter, "--", "echo", "it ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert "local" in done.stderr
