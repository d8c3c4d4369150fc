"""The LAN is no way round: a packet that a LAN host should send on to somebody else does not get there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.attempts import Attempt, attempted, leaks
from tests.netns.inhabitants import Command, routed
from tests.netns.traffic import FAMILIES, astray, both_families, elsewhere, gateway

promise = pytest.mark.promise

ATTEMPTS: dict[str, Attempt] = {
    "tcp": ("tcp", {"through": "{router}"}),
    "udp": ("udp", {"through": "{router}"}),
    "unconnected udp": ("unconnected", {"through": "{router}"}),
    "made by hand": ("raw", {"kind": "header", "source": "{lan0}", "through": "{router}"}),
    "after one option": ("raw", {"kind": "header", "source": "{lan0}", "through": "{router}", "before": 1}),
    "after two options": ("raw", {"kind": "header", "source": "{lan0}", "through": "{router}", "before": 2}),
    "in a fragment": (
        "raw",
        {"kind": "header", "source": "{lan0}", "through": "{router}", "fragments": 1},
    ),
    "in a fragment of a fragment": (
        "raw",
        {"kind": "header", "source": "{lan0}", "through": "{router}", "fragments": 2},
    ),
    "after five options": ("raw", {"kind": "header", "source": "{lan0}", "through": "{router}", "before": 5}),
}
each_attempt = pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=list(ATTEMPTS))

HARMLESS = {4: "0107070400000000", 6: "0000010400000000"}
"""Record route after a no-operation (RFC 791), as `ping -R` does; padding (RFC 8200)."""


@pytest.fixture(scope="module")
def command() -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with Lab(main="both") as lab, routed(lab) as command:
        yield command


@promise("LEAK-07")
@each_attempt
@both_families
def test_no_source_route_leaves_by_the_lan(command: Command, family: int, attempt: Attempt) -> None:
    before = command.drops("lan0")
    assert not leaks(command, attempt, family)
    assert command.drops("lan0") > before


@promise("LEAK-07", "LAN-01")
@both_families
def test_the_lan_itself_is_reached(command: Command, family: int) -> None:
    lab = command.lab
    for way in ("tcp", "udp", "unconnected", "ping"):
        assert not astray(lab, command, way, family, lab.lan, to=gateway(lab.lan, family))


@promise("LEAK-07", "LAN-01")
@both_families
def test_other_options_may_be_sent_to_the_lan(command: Command, family: int) -> None:
    """The host need not answer with them: what it was sent is what counts."""
    lab = command.lab
    lab.clear()
    attempted(command, ("udp", {"header": HARMLESS[family]}), family, to=gateway(lab.lan, family))
    lab.settle()
    assert lab.lan.packets(destination=gateway(lab.lan, family), port=7000)


@promise("NEG-02")
def test_without_the_guard_source_routes_leave_by_the_lan() -> None:
    with Lab(main="both") as lab, routed(lab) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "udp", family, lab.lan, to=gateway(lab.lan, family))
        command.switch_off("guard")
        for family in FAMILIES:
            held = [name for name, attempt in ATTEMPTS.items() if not leaks(command, attempt, family)]
            assert not held
        assert {packet.partition(":")[0] for packet in elsewhere(lab, "wan1")} == {"lan0"}
