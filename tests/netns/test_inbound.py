"""`inbound = true`: a UDP server that is bound to no address answers by the adapter that it is called on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from tests.netns.daemons import daemon
from tests.netns.inhabitants import Command, routed
from tests.netns.running import procroute, run
from tests.netns.test_guard_servers import ANY, CLIENT, PORT, called, machine
from tests.netns.traffic import (
    FAMILIES,
    OTHER_SERVER,
    SERVER,
    WAYS,
    astray,
    both_families,
    elsewhere,
    own_address,
)
from tests.netns.uplinks import configured

promise = pytest.mark.promise
each_uplink = pytest.mark.parametrize("uplink", ["wan1", "wan2", "lan0"])
each_server = pytest.mark.parametrize("server", ["udp", "pktinfo"])
PLACE = {"udp": PORT, "pktinfo": PORT + 1}
CONFIGURATION = '[route.server]\nadapters = ["wan1"]\ninbound = true\n'


@contextmanager
def serving(lab: Lab, via: str = "server") -> Iterator[Command]:
    """A command that serves UDP on every address, with and without a word of which one it was called by."""
    with configured(lab, CONFIGURATION), routed(lab, via=via) as command:
        serve(command)
        yield command


def serve(command: Command) -> None:
    for family in FAMILIES:
        for transport, port in PLACE.items():
            command.ask("serve", transport=transport, address=ANY[family], port=port)


def unanswered(lab: Lab, server: str, adapter: str, family: int, timeout: float = 2) -> list[str]:
    """What is wrong with the answer to a client that calls the machine by that adapter."""
    return called(lab, "udp", adapter, family, PLACE[server], timeout)[1]


@pytest.fixture(
    scope="module",
    params=[("wan2", 0), ("wan1", 0), ("wan2", 2), ("wan1", 2)],
    ids=lambda place: f"prefers={place[0]}-rp_filter={place[1]}",
)
def command(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command by wan1 that serves."""
    preferred, rp_filter = request.param
    with machine(preferred, rp_filter) as lab, serving(lab) as command:
        yield command


@promise("IN-03")
@each_server
@each_uplink
@both_families
def test_each_client_is_answered_by_the_adapter_it_calls_on(
    command: Command, family: int, uplink: str, server: str
) -> None:
    assert not unanswered(command.lab, server, uplink, family)


@promise("IN-03")
@both_families
def test_a_client_that_calls_by_another_adapter_is_answered_by_that(command: Command, family: int) -> None:
    """The same client, port and all: the last call counts."""
    lab = command.lab
    name = f"udp {ANY[family]} {PORT}"
    for adapter in ("wan2", "wan1", "wan2"):
        lab.clear()
        uplink = lab.uplinks[adapter]
        answer = uplink.dial(
            CLIENT[family], own_address(uplink, family), PORT, "udp", timeout=2, source_port=7007
        )
        assert answer.sender == own_address(uplink, family)
        lab.clear()
        assert not command.ask("send_from", name=name, to=CLIENT[family], port=7007).error
        assert not elsewhere(lab, adapter)


@promise("IN-03", "LEAK-02")
@both_families
def test_who_did_not_call_hears_nothing_by_another_adapter(command: Command, family: int) -> None:
    lab = command.lab
    assert not unanswered(lab, "udp", "wan2", family)
    lab.clear()
    for port in PLACE.values():
        name = f"{'udp' if port == PORT else 'pktinfo'} {ANY[family]} {port}"
        # Where nobody listens: servers that answer each other would never end.
        command.ask("send_from", name=name, to=OTHER_SERVER[family], port=7009)
        command.ask("send_from", name=name, to=CLIENT[family], port=7009)
    source = own_address(lab.wan2, family)
    assert command.ask("unconnected", to=SERVER[family], pktinfo_from=source, seconds=0.25).error
    assert not elsewhere(lab, "wan1")


@promise("IN-03", "PATH-01")
@both_families
def test_what_it_begins_leaves_by_its_adapter(command: Command, family: int) -> None:
    for way in WAYS:
        assert not astray(command.lab, command, way, family, command.lab.wan1)


@promise("IN-03", "LEAK-04")
def test_with_its_adapter_down_it_answers_by_the_others_and_begins_nothing() -> None:
    with machine("wan2") as lab, serving(lab) as command:
        lab.wan1.down()
        lab.settle()
        for family in FAMILIES:
            assert command.ask("unconnected", to=SERVER[family], seconds=0.1).error
            assert not unanswered(lab, "udp", "wan2", family)
            lab.clear()
            for way in WAYS:
                assert command.ask(way, to=SERVER[family], seconds=0.25).error
            assert not elsewhere(lab)


@promise("NEG-10")
@both_families
def test_without_it_they_are_not_answered_there(family: int) -> None:
    with machine("wan2") as lab:
        with serving(lab, via="wan1") as command:
            assert not unanswered(lab, "udp", "wan1", family)
            for server in PLACE:
                assert unanswered(lab, server, "wan2", family, timeout=0.5)
        with serving(lab) as command:
            assert not unanswered(lab, "udp", "wan2", family)
            command.switch_off("inbound")
            assert unanswered(lab, "udp", "wan2", family, timeout=0.5)


@promise("IN-03")
def test_by_the_daemon_too_and_its_next_one() -> None:
    with machine("wan2") as lab, configured(lab, CONFIGURATION):
        with daemon(lab) as running, routed(lab, via="server") as command:
            serve(command)
            assert not [w for f in FAMILIES for w in unanswered(lab, "udp", "wan2", f)]
            running.kill()
            with daemon(lab) as again:
                assert [one["route"][:5] for one in again.ps()] == ["wan1~"]
                assert not [w for f in FAMILIES for w in unanswered(lab, "udp", "wan2", f)]


@promise("IN-03")
def test_not_on_a_strict_route() -> None:
    with Lab(main="both") as lab:
        with configured(lab, CONFIGURATION + "strict = true\n"):
            done = procroute(lab, "config", "check")
            assert done.returncode == 1
            assert "config.toml:3" in done.stdout + done.stderr
            assert "inbound" in done.stdout + done.stderr
        with configured(lab, CONFIGURATION):
            done = run(lab, "server", "true", options=("--strict",))
            assert done.returncode == 2
            assert "leave out strict or inbound" in done.stderr
