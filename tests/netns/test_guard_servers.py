"""A server in the command answers those who call it by any adapter, and cannot use that to call others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from procroute.lab import Lab
from tests.netns.inhabitants import Command, routed
from tests.netns.traffic import (
    FAMILIES,
    OTHER_SERVER,
    SERVER,
    astray,
    both_families,
    delete_our_rules,
    elsewhere,
    gateway,
    own_address,
)

promise = pytest.mark.promise
each_uplink = pytest.mark.parametrize("uplink", ["wan1", "wan2", "lan0"])
ANY = {4: "0.0.0.0", 6: "::"}
CLIENT = {4: "192.0.2.99", 6: "2001:db8:ffff::99"}
LAN_CLIENT = {4: "192.168.50.1", 6: "fd50::1"}
PORT = 8080


@pytest.fixture(
    scope="module",
    params=[("wan2", 0), ("wan1", 0), ("wan2", 2), ("wan1", 2)],
    ids=lambda place: f"prefers={place[0]}-rp_filter={place[1]}",
)
def server(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1 that serves: TCP on every address, UDP on each address by itself."""
    preferred, rp_filter = request.param
    with machine(preferred, rp_filter) as lab, routed(lab) as command:
        for family in FAMILIES:
            command.ask("serve", transport="tcp", address=ANY[family], port=PORT)
            for uplink in lab.uplinks.values():
                command.ask("serve", transport="udp", address=own_address(uplink, family), port=PORT)
        yield command


@contextmanager
def machine(preferred: str, rp_filter: Literal[0, 2] = 0) -> Iterator[Lab]:
    """A machine whose main has defaults by both uplinks."""
    with Lab(main="both" if preferred == "wan2" else "wan1", rp_filter=rp_filter) as lab:
        if preferred == "wan1":
            for family in FAMILIES:
                lab.ip(f"-{family} route add default via {gateway(lab.wan2, family)} dev wan2 metric 300")
        yield lab


def unanswered(lab: Lab, transport: str, adapter: str, family: int, timeout: float = 2) -> list[str]:
    """What is wrong with the answer to a client that calls the machine by that adapter."""
    text, findings = called(lab, transport, adapter, family, PORT, timeout)
    address = own_address(lab.uplinks[adapter], family)
    return [*findings, *([f"the answer was {text!r}"] if text != f"served at {address}" else [])]


def called(
    lab: Lab, transport: str, adapter: str, family: int, port: int, timeout: float
) -> tuple[str, list[str]]:
    """The answer to a client that calls the machine by that adapter, and what is wrong with its way."""
    uplink = lab.uplinks[adapter]
    lab.clear()
    address = own_address(uplink, family)
    client = (LAN_CLIENT if adapter == "lan0" else CLIENT)[family]
    answer = uplink.dial(client, address, port, "tcp" if transport == "tcp" else "udp", timeout=timeout)
    if answer.error:
        return "", [answer.error, *elsewhere(lab, adapter)]
    wrong = [f"{answer.sender} answered, not {address}"] if answer.sender != address else []
    return answer.text, wrong + elsewhere(lab, adapter)


@promise("IN-01")
@each_uplink
@both_families
def test_a_tcp_server_answers_by_the_adapter_it_is_called_on(
    server: Command, family: int, uplink: str
) -> None:
    assert not unanswered(server.lab, "tcp", uplink, family)


@promise("IN-02")
@each_uplink
@both_families
def test_a_udp_server_answers_from_a_bound_address(server: Command, family: int, uplink: str) -> None:
    assert not unanswered(server.lab, "udp", uplink, family)


@promise("IN-01", "PATH-01")
@both_families
def test_a_server_still_leaves_by_its_adapter(server: Command, family: int) -> None:
    assert not unanswered(server.lab, "tcp", "wan2", family)
    assert not astray(server.lab, server, "tcp", family, server.lab.wan1)


@promise("LEAK-02", "IN-02")
@both_families
def test_a_udp_server_cannot_write_to_those_who_did_not_call(server: Command, family: int) -> None:
    lab = server.lab
    assert not unanswered(lab, "udp", "wan2", family)
    lab.clear()
    before = server.drops("wan2")
    name = f"udp {own_address(lab.wan2, family)} {PORT}"
    assert server.ask("send_from", name=name, to=OTHER_SERVER[family]).error
    assert server.ask("send_from", name=name, to=CLIENT[family]).error, "another port of who called"
    assert not elsewhere(lab, "wan1")
    assert server.drops("wan2") > before


@promise("LEAK-01", "IN-01")
@both_families
def test_having_been_called_opens_no_door_for_connections(server: Command, family: int) -> None:
    lab = server.lab
    assert not unanswered(lab, "tcp", "wan2", family)
    lab.clear()
    source = own_address(lab.wan2, family)
    assert server.ask("tcp", to=CLIENT[family], source=source, seconds=0.3).error
    assert server.ask("tcp", to=SERVER[family], source=source, seconds=0.3).error
    assert not elsewhere(lab, "wan1")


@promise("NEG-02", "NEG-03")
def test_without_the_rules_or_the_guard_it_shows() -> None:
    """Without rules the answer leaves by main's adapter; without the guard the server writes to anybody."""
    with machine("wan1") as lab, routed(lab) as command:
        for family in FAMILIES:
            address = own_address(lab.wan2, family)
            command.ask("serve", transport="tcp", address=ANY[family], port=PORT)
            command.ask("serve", transport="udp", address=address, port=PORT)
            assert not unanswered(lab, "tcp", "wan2", family)
            assert not unanswered(lab, "udp", "wan2", family)
            assert not astray(lab, command, "tcp", family, lab.wan1)
        command.switch_off("guard")
        delete_our_rules(lab)
        for family in FAMILIES:
            lab.clear()
            command.ask("send_from", name=f"udp {own_address(lab.wan2, family)} {PORT}", to=SERVER[family])
            assert elsewhere(lab, "lan0")
            assert unanswered(lab, "tcp", "wan2", family, timeout=0.3)
            assert unanswered(lab, "udp", "wan2", family, timeout=0.3)


@pytest.fixture(scope="module")
def strict() -> Iterator[Command]:
    """A strict command by wan1 that serves TCP on every address."""
    with machine("wan2") as lab, routed(lab, "--strict") as command:
        for family in FAMILIES:
            command.ask("serve", transport="tcp", address=ANY[family], port=PORT)
        yield command


@promise("LAN-06")
@both_families
def test_a_strict_server_answers_by_its_adapter_only(strict: Command, family: int) -> None:
    lab = strict.lab
    assert not unanswered(lab, "tcp", "wan1", family)
    for adapter in ("wan2", "lan0"):
        assert unanswered(lab, "tcp", adapter, family, timeout=0.3)
        assert not elsewhere(lab, "wan1")
