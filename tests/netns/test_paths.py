"""What the command sends leaves by its adapter, from that adapter's address, whatever main says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.lab import foreign
from tests.netns.inhabitants import Command, routed
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
each_way = pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=promise(f"PATH-0{number}")) for number, way in enumerate(WAYS, 1)],
)

GATEWAYS = ("--gateway4", "198.51.100.1", "--gateway6", "2001:db8:1::1")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((main, rp_filter), id=f"main={main}-rp_filter={rp_filter}", marks=marks)
        for main, marks in (
            ("both", [promise("PATH-06")]),
            ("none", [promise("PATH-05", "PATH-06", "CLI-11")]),
            ("wan1", [promise("PATH-06")]),
        )
        for rp_filter in (0, 1, 2)
    ],
)
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1; main=both prefers wan2, wan1 knows no other, none knows no gateway at all."""
    main, rp_filter = request.param
    with Lab(main=main, rp_filter=rp_filter) as lab:
        with routed(lab, *(GATEWAYS if main == "none" else ())) as command:
            yield command


@promise("PATH-08")
@each_way
@both_families
def test_it_leaves_by_the_adapter(command: Command, family: int, way: str) -> None:
    assert not astray(command.lab, command, way, family, command.lab.wan1)


@pytest.fixture(scope="module", params=["both", "none", "wan1"])
def firewalled(request: pytest.FixtureRequest) -> Iterator[Command]:
    """The same where a firewall checks the way back itself."""
    with Lab(main=request.param) as lab:
        foreign.firewalld(lab)
        with routed(lab, *(GATEWAYS if request.param == "none" else ())) as command:
            yield command


@promise("PATH-07")
@each_way
@both_families
def test_a_firewall_that_checks_the_way_back_lets_answers_in(
    firewalled: Command, family: int, way: str
) -> None:
    assert not astray(firewalled.lab, firewalled, way, family, firewalled.lab.wan1)


@pytest.fixture(scope="module")
def ordinary() -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with Lab(main="both") as lab, routed(lab) as command:
        yield command


@promise("PATH-09")
@pytest.mark.parametrize("way", WAYS)
@both_families
def test_what_the_command_starts_goes_the_same_way(ordinary: Command, family: int, way: str) -> None:
    lab = ordinary.lab
    lab.clear()
    heard = ordinary.ask("spawn", depth=3, of=way, to=SERVER[family])
    assert not heard.error
    assert way == "ping" or heard.client == own_address(lab.wan1, family)
    assert not elsewhere(lab, "wan1")
    assert lab.wan1.packets(source=own_address(lab.wan1, family), destination=SERVER[family])


@promise("PATH-01", "PATH-02", "PATH-03", "PATH-04", "CLI-11")
@both_families
def test_a_given_gateway_holds_against_that_of_main(family: int) -> None:
    """Nobody is at the given gateway, so nothing is answered; main's own would."""
    other = {4: "198.51.100.9", 6: "2001:db8:1::9"}[family]
    with Lab(main="both") as lab, routed(lab, f"--gateway{family}", other) as command:
        assert command.ask("tcp", to=SERVER[family], seconds=0.3).error
        assert command.ask("udp", to=SERVER[family], seconds=0.3).error
        assert not elsewhere(lab)
        known = {4: 6, 6: 4}[family]
        assert not astray(lab, command, "tcp", known, lab.wan1)


@promise("PATH-01", "PATH-02", "PATH-03", "PATH-04")
@both_families
def test_a_link_local_gateway_serves_as_well(family: int) -> None:
    """Router advertisements give IPv6 gateways such addresses."""
    with Lab(main="both", gateway6="link-local") as lab, routed(lab) as command:
        for way in WAYS:
            assert not astray(lab, command, way, family, lab.wan1)


# --- with a mechanism switched off


def verified(lab: Lab, command: Command) -> None:
    """Everything above is as it should be."""
    for family in FAMILIES:
        for way in WAYS:
            assert not astray(lab, command, way, family, lab.wan1)


@pytest.fixture(scope="module")
def unmarked() -> Iterator[Command]:
    """A command whose sockets get no mark any more."""
    with Lab(main="both") as lab, routed(lab) as command:
        verified(lab, command)
        command.switch_off("mark")
        yield command


@promise("NEG-01")
@each_way
@both_families
def test_without_the_mark_nothing_arrives(unmarked: Command, family: int, way: str) -> None:
    """The guard alone lets nothing out."""
    assert astray(unmarked.lab, unmarked, way, family, unmarked.lab.wan1, seconds=0.2)
    assert not elsewhere(unmarked.lab)


@pytest.fixture(scope="module")
def free() -> Iterator[Command]:
    """A command with neither mark nor guard any more."""
    with Lab(main="both") as lab, routed(lab) as command:
        verified(lab, command)
        command.switch_off("mark", "guard")
        yield command


@promise("NEG-01", "NEG-02")
@each_way
@both_families
def test_without_mark_and_guard_it_leaves_by_main(free: Command, family: int, way: str) -> None:
    assert astray(free.lab, free, way, family, free.lab.wan1)
    assert elsewhere(free.lab, "wan1")
    assert not astray(free.lab, free, way, family, free.lab.wan2)


@pytest.fixture(scope="module")
def ruleless() -> Iterator[Command]:
    """A command without our ip rules."""
    with Lab(main="both") as lab, routed(lab) as command:
        verified(lab, command)
        command.freeze()
        delete_our_rules(lab)
        yield command


@promise("NEG-03")
@each_way
@both_families
def test_without_the_rules_nothing_arrives(ruleless: Command, family: int, way: str) -> None:
    assert astray(ruleless.lab, ruleless, way, family, ruleless.lab.wan1, seconds=0.2)
    assert not elsewhere(ruleless.lab)


@pytest.fixture(scope="module")
def unrestored() -> Iterator[Command]:
    """A command under reverse path checks, whose answers do not get its mark any more."""
    with Lab(main="both", rp_filter=1) as lab:
        foreign.firewalld(lab)
        with routed(lab) as command:
            verified(lab, command)
            command.freeze()
            lab.nft("flush table inet procroute")
            yield command


@promise("NEG-01")
@each_way
@both_families
def test_without_the_restored_mark_answers_are_dropped(unrestored: Command, family: int, way: str) -> None:
    assert astray(unrestored.lab, unrestored, way, family, unrestored.lab.wan1, seconds=0.2)
