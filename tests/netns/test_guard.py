"""What a command may try in order to leave by another adapter; the guard drops it and counts it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from procroute.lab import Lab
from tests.netns.attempts import attempted, leaks
from tests.netns.inhabitants import Command, routed
from tests.netns.probe import MPTCP
from tests.netns.traffic import FAMILIES, SERVER, astray, both_families, elsewhere, own_address

promise = pytest.mark.promise

Attempts = dict[str, tuple[str, str, dict[str, Any]]]
"""What it is called → the promise, the way, the options (see probe.py)."""

BOUND: Attempts = {
    "tcp from the address": ("LEAK-01", "tcp", {"source": "{wan2}"}),
    "tcp from the address and adapter": ("LEAK-03", "tcp", {"source": "{wan2}", "device": "wan2"}),
    "udp from the address": ("LEAK-02", "udp", {"source": "{wan2}"}),
    "udp from the address and adapter": ("LEAK-03", "udp", {"source": "{wan2}", "device": "wan2"}),
    "unconnected udp from the address": ("LEAK-02", "unconnected", {"source": "{wan2}"}),
    "mptcp from the address": ("LEAK-05", "tcp", {"source": "{wan2}", "mptcp": True}),
}
"""Sockets that are bound to the other adapter's address: the rules for answers take them to the door."""

UNBOUND: Attempts = {
    "tcp by the adapter": ("LEAK-03", "tcp", {"device": "wan2"}),
    "udp by the adapter": ("LEAK-03", "udp", {"device": "wan2"}),
    "unconnected udp by the adapter": ("LEAK-03", "unconnected", {"device": "wan2"}),
    "ping by the adapter": ("LEAK-03", "ping", {"by": "wan2"}),
    "unconnected udp with IP_UNICAST_IF": ("LEAK-03", "unconnected", {"unicast": "wan2"}),
    "ping from the address": ("LEAK-02", "ping", {"by": "{wan2}"}),
    "IP_PKTINFO with the address": ("LEAK-02", "unconnected", {"pktinfo_from": "{wan2}"}),
    "IP_PKTINFO with the adapter": ("LEAK-03", "unconnected", {"pktinfo_by": "wan2"}),
    "IP_PKTINFO with both": ("LEAK-03", "unconnected", {"pktinfo_from": "{wan2}", "pktinfo_by": "wan2"}),
    "tcp with its mark taken away": ("LEAK-01", "tcp", {"mark": 0}),
    "udp with its mark taken away": ("LEAK-02", "udp", {"mark": 0}),
    "tcp with another's mark": ("LEAK-01", "tcp", {"mark": 0x80000}),
    "tcp without its mark from the address": ("LEAK-01", "tcp", {"mark": 0, "source": "{wan2}"}),
    "tcp from nobody's address": ("LEAK-01", "tcp", {"source": "{nobody}", "freebind": True}),
    "udp from nobody's address": ("LEAK-02", "udp", {"source": "{nobody}", "freebind": True}),
    "tcp from the LAN's address": ("LEAK-01", "tcp", {"source": "{lan0}"}),
    "udp from the LAN's address": ("LEAK-02", "udp", {"source": "{lan0}"}),
    "tcp by the LAN's adapter": ("LEAK-03", "tcp", {"device": "lan0"}),
}
ATTEMPTS = BOUND | UNBOUND

each_attempt = pytest.mark.parametrize(
    "attempt", [pytest.param(name, marks=promise(id_)) for name, (id_, _, _) in ATTEMPTS.items()]
)
each_way = pytest.mark.parametrize("way", ["tcp", "udp", "unconnected"])
each_bound_attempt = pytest.mark.parametrize("attempt", BOUND)


@pytest.fixture(scope="module", params=["lan", "strict"])
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with Lab(main="both") as lab:
        with routed(lab, *(["--strict"] if request.param == "strict" else [])) as command:
            yield command


@each_attempt
@both_families
def test_nothing_leaves_by_another_adapter(command: Command, family: int, attempt: str) -> None:
    assert not leaks(command, ATTEMPTS[attempt][1:], family)


@promise("LEAK-01", "LEAK-02", "LEAK-03")
@both_families
def test_after_all_of_it_the_route_is_as_before(command: Command, family: int) -> None:
    for way in ("tcp", "udp", "unconnected", "ping"):
        assert not astray(command.lab, command, way, family, command.lab.wan1)


@promise("LEAK-04")
@each_bound_attempt
@both_families
def test_the_guard_counts_what_it_drops(command: Command, family: int, attempt: str) -> None:
    before = command.drops("wan2")
    heard = attempted(command, ATTEMPTS[attempt][1:], family)
    assert heard.error
    assert not heard.router
    assert command.drops("wan2") > before


@promise("LEAK-05")
@both_families
def test_a_program_that_wants_mptcp_gets_tcp(command: Command, family: int) -> None:
    lab = command.lab
    lab.clear()
    heard = command.ask("tcp", to=SERVER[family], mptcp=True)
    assert (heard.router, heard.client) == ("wan1", own_address(lab.wan1, family))
    assert heard.protocol == socket.IPPROTO_TCP
    assert not elsewhere(lab, "wan1")


@promise("LEAK-01", "PATH-01")
@each_way
def test_ipv4_through_an_ipv6_socket_is_held_as_well(command: Command, way: str) -> None:
    """Addresses like ::ffff:192.0.2.80 (RFC 4291, 2.5.5.2)."""
    lab = command.lab
    lab.clear()
    heard = command.ask(way, to=f"::ffff:{SERVER[4]}")
    assert (heard.router, heard.client) == ("wan1", lab.wan1.wire.address4)
    before = command.drops("wan2")
    source = f"::ffff:{lab.wan2.wire.address4}"
    assert command.ask(way, to=f"::ffff:{SERVER[4]}", source=source, seconds=0.25).error
    assert command.drops("wan2") > before
    assert not elsewhere(lab, "wan1")


# --- with a mechanism switched off


@pytest.fixture(scope="module")
def guardless() -> Iterator[Command]:
    """A command whose guard is gone."""
    with Lab(main="both") as lab, routed(lab) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
            assert not [name for name in BOUND if leaks(command, BOUND[name][1:], family)]
        command.switch_off("guard", "attempt")
        yield command


@promise("NEG-02")
@each_bound_attempt
@both_families
def test_without_the_guard_bound_sockets_leave_by_the_other(
    guardless: Command, family: int, attempt: str
) -> None:
    assert leaks(guardless, BOUND[attempt][1:], family)


@pytest.fixture(scope="module")
def free() -> Iterator[Command]:
    """A command with neither mark nor guard any more."""
    with Lab(main="both") as lab, routed(lab) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
        command.switch_off("mark", "guard", "attempt")
        yield command


@promise("NEG-01", "NEG-02")
@pytest.mark.parametrize("attempt", [name for name in ATTEMPTS if "nobody" not in name and "LAN" not in name])
@both_families
def test_without_mark_and_guard_every_attempt_succeeds(free: Command, family: int, attempt: str) -> None:
    """Left out is what has no way or neighbour anyhow."""
    assert leaks(free, ATTEMPTS[attempt][1:], family)


@promise("NEG-01")
@both_families
def test_without_the_mark_program_mptcp_escapes(free: Command, family: int) -> None:
    free.lab.clear()
    heard = free.ask("tcp", to=SERVER[family], mptcp=True)
    assert heard.protocol == MPTCP
    assert elsewhere(free.lab, "wan1")
