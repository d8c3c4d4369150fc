"""By the command's adapter nothing leaves from another adapter's address, but replies to who called that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from procroute.lab import Lab
from tests.netns.attempts import Attempt, attempted, carried
from tests.netns.inhabitants import Command, routed
from tests.netns.traffic import FAMILIES, SERVER, astray, both_families, elsewhere, gateway, own_address

promise = pytest.mark.promise

ATTEMPTS: dict[str, Attempt] = {
    "tcp": ("tcp", {"source": "{wan2}", "device": "wan1"}),
    "tcp without its mark": ("tcp", {"source": "{wan2}", "device": "wan1", "mark": 0}),
    "udp": ("udp", {"source": "{wan2}", "device": "wan1"}),
    "udp without its mark": ("udp", {"source": "{wan2}", "device": "wan1", "mark": 0}),
    "unconnected udp": ("unconnected", {"source": "{wan2}", "device": "wan1"}),
    "IP_PKTINFO with the address": ("unconnected", {"pktinfo_from": "{wan2}"}),
    "IP_PKTINFO with address and adapter": ("unconnected", {"pktinfo_from": "{wan2}", "pktinfo_by": "wan1"}),
    "ping socket": ("raw", {"kind": "ping", "source": "{wan2}"}),
    "ping socket by the adapter": ("raw", {"kind": "ping", "source": "{wan2}", "device": "wan1"}),
    "raw": ("raw", {"kind": "raw", "source": "{wan2}"}),
    "raw by the adapter": ("raw", {"kind": "raw", "source": "{wan2}", "device": "wan1"}),
    "raw, IP_PKTINFO": ("raw", {"kind": "raw", "pktinfo_from": "{wan2}"}),
    "raw, IP_PKTINFO and adapter": ("raw", {"kind": "raw", "pktinfo_from": "{wan2}", "pktinfo_by": "wan1"}),
    "header made by hand": ("raw", {"kind": "header", "source": "{wan2}"}),
    "header by the adapter": ("raw", {"kind": "header", "source": "{wan2}", "device": "wan1"}),
}
IPV4_ONLY: dict[str, Attempt] = {
    "IP_UNICAST_IF": ("unconnected", {"source": "{wan2}", "unicast": "wan1"}),
    "ping socket, IP_PKTINFO": ("raw", {"kind": "ping", "pktinfo_from": "{wan2}"}),
}
"""IPv6 sends these from the right address or by the other adapter."""

each_attempt = pytest.mark.parametrize(
    ("family", "attempt"),
    [
        pytest.param(family, attempt, id=f"IPv{family}-{name}")
        for family in FAMILIES
        for name, attempt in (ATTEMPTS | (IPV4_ONLY if family == 4 else {})).items()
    ],
)
PORT = 8080
ANY = {4: "0.0.0.0", 6: "::"}


@pytest.fixture(scope="module", params=["lan", "strict"])
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2."""
    with machine() as lab, routed(lab, *(["--strict"] if request.param == "strict" else [])) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "udp", family, lab.wan1)
        yield command


@contextmanager
def machine() -> Iterator[Lab]:
    """A machine where everybody may have ping sockets."""
    with Lab(main="both") as lab:
        lab.sysctl("net/ipv4/ping_group_range", "0 2147483647")
        yield lab


@promise("LEAK-06")
@each_attempt
def test_nothing_leaves_from_another_adapters_address(
    command: Command, family: int, attempt: Attempt
) -> None:
    before = command.drops("wan2")
    assert not carried(command, attempt, family)
    assert not elsewhere(command.lab, "wan1")
    assert command.drops("wan2") > before


@promise("LEAK-06", "PATH-01")
@both_families
def test_after_all_of_it_the_route_is_as_before(command: Command, family: int) -> None:
    for way in ("tcp", "udp", "unconnected", "ping"):
        assert not astray(command.lab, command, way, family, command.lab.wan1)


@promise("LEAK-06", "LEAK-04")
@both_families
def test_udp_is_refused_and_counted_by_whose_address_it_is(command: Command, family: int) -> None:
    for name in ("udp", "unconnected udp", "IP_PKTINFO with the address"):
        before = command.drops("wan2")
        assert attempted(command, ATTEMPTS[name], family).error == "EPERM"
        assert command.drops("wan2") == before + 1


@promise("NEG-02")
def test_without_the_guard_it_all_leaves() -> None:
    with machine() as lab, routed(lab) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "udp", family, lab.wan1)
        command.switch_off("guard", "attempt")
        for family in FAMILIES:
            attempts = ATTEMPTS | (IPV4_ONLY if family == 4 else {})
            held = [name for name, attempt in attempts.items() if not carried(command, attempt, family)]
            assert not held


@promise("LEAK-06", "DOWN-03")
@pytest.mark.parametrize("how", ["removed", "wan2 down", "new"])
@pytest.mark.parametrize("strict", [(), ("--strict",)], ids=["lan", "strict"])
@both_families
def test_an_address_that_comes_or_goes_is_not_carried(family: int, strict: tuple[str, ...], how: str) -> None:
    """Sent at once, before the engine can have heard of it."""
    with machine() as lab, routed(lab, *strict) as command:
        old = own_address(lab.wan2, family)
        address = {4: "203.0.113.50", 6: "2001:db8:2::50"}[family] if how == "new" else old
        prefix, nodad = {4: ("24", ""), 6: ("64", " nodad")}[family]
        if how == "new":
            lab.ip(f"-{family} address add {address}/{prefix} dev wan2{nodad}")
        command.ask("serve", transport="udp", address=address, port=PORT)
        if how == "removed":
            lab.ip(f"-{family} address del {address}/{prefix} dev wan2")
        elif how == "wan2 down":
            lab.ip("link set wan2 down")
        lab.clear()
        for _ in range(5):
            assert command.ask("send_from", name=f"udp {address} {PORT}", to=SERVER[family]).error
        lab.settle()
        assert not [p for uplink in lab.uplinks.values() for p in uplink.packets(source=address)]
        assert not astray(lab, command, "tcp", family, lab.wan1)


# --- replies to a neighbour on the route's own adapter that calls the machine by wan2's address


def called(command: Command, transport: Literal["tcp", "udp"], family: int, timeout: float = 2) -> list[str]:
    """What is wrong with the answer to it."""
    lab = command.lab
    address, neighbour = own_address(lab.wan2, family), gateway(lab.wan1, family)
    lab.clear()
    answer = lab.wan1.dial(neighbour, address, PORT, transport, timeout=timeout)
    findings = [answer.error] if answer.error else []
    if not answer.error and (answer.text, answer.sender) != (f"served at {address}", address):
        findings.append(f"{answer.sender} answered {answer.text!r}")
    return findings + elsewhere(lab, "wan1")


def serve(command: Command) -> None:
    """TCP on every address, UDP on wan2's; the neighbour knows the way to that."""
    lab = command.lab
    for family in FAMILIES:
        address = own_address(lab.wan2, family)
        command.ask("serve", transport="tcp", address=ANY[family], port=PORT)
        command.ask("serve", transport="udp", address=address, port=PORT)
        way = [address, "via", own_address(lab.wan1, family)]
        assert lab.wan1.run(["ip", f"-{family}", "route", "replace", *way]).returncode == 0


@promise("IN-01", "IN-02", "LEAK-06")
@both_families
def test_who_calls_the_address_by_the_adapter_is_answered(command: Command, family: int) -> None:
    serve(command)
    lab = command.lab
    assert not called(command, "tcp", family)
    assert not called(command, "udp", family)
    lab.clear()
    server = f"udp {own_address(lab.wan2, family)} {PORT}"
    assert command.ask("send_from", name=server, to=gateway(lab.wan1, family)).error, "another port of it"
    assert command.ask("send_from", name=server, to=SERVER[family]).error
    source = own_address(lab.wan2, family)
    assert command.ask("tcp", to=gateway(lab.wan1, family), source=source, seconds=0.25).error
    lab.settle()
    assert not lab.wan1.packets(source=source)


@promise("NEG-02")
def test_without_a_memory_of_who_called_nobody_is_answered() -> None:
    with machine() as lab, routed(lab) as command:
        serve(command)
        for family in FAMILIES:
            assert not called(command, "tcp", family)
            assert not called(command, "udp", family)
        command.switch_off("replies")
        for family in FAMILIES:
            assert called(command, "tcp", family, timeout=0.3)
            assert called(command, "udp", family, timeout=0.3)
