"""Adapters that have one family only, and adapters that need no gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import TUN, Lab
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import Command, bystander, routed
from tests.netns.traffic import NO_WAY, SERVER, WAYS, astray, both_families, elsewhere, own_address

promise = pytest.mark.promise
each_way = pytest.mark.parametrize("way", WAYS)

AT_ONCE = 100 * FACTOR
"""Milliseconds."""


@pytest.fixture(scope="module", params=[4, 6], ids=["v4-only", "v6-only"])
def one_family(request: pytest.FixtureRequest) -> Iterator[tuple[Command, int]]:
    """A command by wan1, which has one family, and that family; main has defaults by wan2 for both."""
    families = {"wan1": "4" if request.param == 4 else "6"}
    with Lab(main="both", families=families) as lab, routed(lab) as command:  # type: ignore[arg-type]
        yield command, request.param


@promise("FAM-01")
@each_way
def test_one_family_is_enough(one_family: tuple[Command, int], way: str) -> None:
    command, family = one_family
    assert not astray(command.lab, command, way, family, command.lab.wan1)


@promise("FAM-01")
@each_way
def test_the_other_is_unreachable_at_once(one_family: tuple[Command, int], way: str) -> None:
    command, family = one_family
    missing = 10 - family
    lab = command.lab
    lab.clear()
    for _ in range(3):
        heard = command.ask(way, to=SERVER[missing])
        assert heard.error in NO_WAY or "unreachable" in heard.error
        assert heard.ms < AT_ONCE
    assert not elsewhere(lab)


@promise("FAM-02")
def test_the_missing_family_is_said_once(one_family: tuple[Command, int]) -> None:
    command, family = one_family
    command.ask("tcp", to=SERVER[10 - family])
    lines = [line for line in command.told().splitlines() if f"IPv{10 - family}" in line]
    assert len(lines) == 1
    assert "unreachable" in lines[0]
    assert "wan1" in lines[0]


@promise("FAM-01")
def test_a_machine_without_ipv6_is_fine() -> None:
    with Lab(main="both", ipv6=False) as lab, routed(lab) as command:
        assert not astray(lab, command, "tcp", 4, lab.wan1)
        heard = command.ask("tcp", to=SERVER[6])
        assert heard.error
        assert heard.ms < AT_ONCE


@promise("NEG-01", "NEG-02")
@both_families
def test_without_mark_and_guard_the_missing_family_leaves_by_another(family: int) -> None:
    families = {"wan1": "4" if family == 6 else "6"}
    with Lab(main="both", families=families) as lab, routed(lab) as command:  # type: ignore[arg-type]
        assert not astray(lab, command, "tcp", 10 - family, lab.wan1)
        command.switch_off("mark", "guard")
        command.ask("tcp", to=SERVER[family])
        assert elsewhere(lab, "wan1")


@pytest.fixture(scope="module")
def by_tun() -> Iterator[Command]:
    """A command by a point-to-point adapter, for which no gateway and no route is known."""
    with Lab(main="both") as lab:
        lab.add(TUN, tunnel=True)
        with routed(lab, "--dns", "system", via="tun0") as command:
            yield command


@promise("TUN-01", "FAM-03")
@each_way
@both_families
def test_a_tun_adapter_needs_no_gateway(by_tun: Command, family: int, way: str) -> None:
    assert not astray(by_tun.lab, by_tun, way, family, by_tun.lab.uplinks["tun0"])


@promise("TUN-01", "LEAK-01", "LEAK-02")
@both_families
def test_nothing_leaves_by_the_uplinks_below(by_tun: Command, family: int) -> None:
    lab = by_tun.lab
    lab.clear()
    for uplink in (lab.wan1, lab.wan2):
        for way in WAYS[:3]:
            source = own_address(uplink, family)
            assert by_tun.ask(way, to=SERVER[family], source=source, seconds=0.1).error
    assert not elsewhere(lab, "tun0")


@promise("TUN-01", "FAM-03")
@both_families
def test_strict_works_by_a_tun_adapter(family: int) -> None:
    with Lab(main="both") as lab:
        tun = lab.add(TUN, tunnel=True)
        with routed(lab, "--strict", "--dns", "system", via="tun0") as command, bystander(lab) as other:
            assert not astray(lab, other, "tcp", family, lab.wan2)
            for way in WAYS:
                assert not astray(lab, command, way, family, tun)
