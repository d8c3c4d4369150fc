"""By each adapter of a list nothing leaves but from its own addresses, and by no other adapter anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.attempts import Attempt, attempted, carried
from tests.netns.inhabitants import Command, routed
from tests.netns.test_guard_sources import ATTEMPTS
from tests.netns.traffic import FAMILIES, astray, both_families, delete_our_rules, elsewhere, own_address
from tests.netns.uplinks import three, until_by

promise = pytest.mark.promise
each_attempt = pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
THIRD: dict[str, Attempt] = {
    "tied to it": ("tcp", {"device": "vpn0"}),
    "its address": ("tcp", {"source": "{vpn0}"}),
    "udp from its address": ("udp", {"source": "{vpn0}"}),
    "IP_PKTINFO": ("unconnected", {"pktinfo_by": "vpn0"}),
}


@pytest.fixture(scope="module", params=["at first", "switched"])
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1 or wan2; it has left wan1 for wan2 and come back to it by force, or never."""
    with three() as lab, routed(lab, via="wan1,wan2") as command:
        lab.sysctl("net/ipv4/ping_group_range", "0 2147483647")
        if request.param == "switched":
            lab.wan1.carrier(False)
            until_by(command, "wan2")
            lab.wan2.carrier(False)
            lab.wan1.restore()
            until_by(command, "wan1")
            lab.wan2.restore()
        for family in FAMILIES:
            assert not astray(lab, command, "udp", family, lab.wan1)
        yield command


@promise("FAIL-02", "LEAK-06")
@both_families
@each_attempt
def test_nothing_leaves_from_the_other_ones_address(command: Command, family: int, attempt: Attempt) -> None:
    assert not carried(command, attempt, family)
    assert not elsewhere(command.lab, "wan1", "wan2")
    sources = {p.source for p in command.lab.wan2.packets() if not p.control}
    assert own_address(command.lab.wan1, family) not in sources


@promise("FAIL-02")
@both_families
@pytest.mark.parametrize("attempt", THIRD.values(), ids=THIRD)
def test_nothing_leaves_by_one_that_is_not_listed(command: Command, family: int, attempt: Attempt) -> None:
    command.lab.clear()
    attempted(command, attempt, family)
    assert not elsewhere(command.lab, "wan1", "wan2")


@promise("NEG-08")
@both_families
@pytest.mark.parametrize("kind", ["udp", "header by the adapter"])
def test_without_the_guard_they_would_be_noticed(family: int, kind: str) -> None:
    with three() as lab, routed(lab, via="wan1,wan2") as command:
        assert not astray(lab, command, "udp", family, lab.wan1)  # and the gateway is known from now on
        command.switch_off("guard", "replies", "attempt")
        assert carried(command, ATTEMPTS[kind], family)
        delete_our_rules(lab)
        lab.clear()
        attempted(command, THIRD["tied to it"], family)
        assert elsewhere(lab, "wan1", "wan2")
