"""Addresses of services, held by an adapter that leads nowhere: a server there answers by the route."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from tests.netns.inhabitants import Command, routed
from tests.netns.running import unchanged
from tests.netns.traffic import (
    FAMILIES,
    NO_WAY,
    OTHER_SERVER,
    SERVER,
    astray,
    both_families,
    elsewhere,
    own_address,
)

promise = pytest.mark.promise
SERVICE = {4: "198.18.0.200", 6: "2001:db8:77::200"}
CLIENT = {4: "192.0.2.99", 6: "2001:db8:ffff::99"}
ANY = {4: "0.0.0.0", 6: "::"}
PORT = 8080


@contextmanager
def serving(arp: str = "on") -> Iterator[Command]:
    """A command by wan1 that serves TCP everywhere and UDP on the service's addresses.

    arp off: as on a dummy, which has no neighbours.
    """
    with Lab(main="both") as lab:
        lab.sh(
            "ip link add svc0 type veth peer name svc1; ip link set svc1 up;"
            f"ip link set svc0 arp {arp} up; ip addr add {SERVICE[4]}/32 dev svc0;"
            f"ip -6 addr add {SERVICE[6]}/128 dev svc0 nodad"
        )
        for family in FAMILIES:
            via = own_address(lab.wan1, family)
            lab.wan1.run(["ip", "route", "add", SERVICE[family], "via", via, "dev", "up0"], check=True)
        with unchanged(lab), routed(lab) as command:
            for family in FAMILIES:
                command.ask("serve", transport="tcp", address=ANY[family], port=PORT)
                command.ask("serve", transport="udp", address=SERVICE[family], port=PORT)
            yield command


@pytest.fixture(scope="module", params=["on", "off"], ids=lambda arp: f"arp={arp}")
def server(request: pytest.FixtureRequest) -> Iterator[Command]:
    with serving(request.param) as command:
        yield command


def unasked(command: Command, family: int) -> list[str]:
    """Where packets from the service's address came out that nobody had called for."""
    lab = command.lab
    lab.clear()
    source = SERVICE[family]
    for way in ("tcp", "udp", "unconnected"):
        command.ask(way, to=OTHER_SERVER[family], source=source, seconds=0.3)
    command.ask("send_from", name=f"udp {source} {PORT}", to=OTHER_SERVER[family])
    lab.settle()
    return [name for name, uplink in lab.uplinks.items() if uplink.packets(source=source)]


@promise("IN-01", "IN-02")
@both_families
def test_it_answers_those_who_call(server: Command, family: int) -> None:
    lab = server.lab
    for transport in ("tcp", "udp"):
        lab.clear()
        answer = lab.wan1.dial(CLIENT[family], SERVICE[family], PORT, transport)
        assert (answer.error, answer.text) == ("", f"served at {SERVICE[family]}")
        assert answer.sender == SERVICE[family]
        assert not elsewhere(lab, "wan1")


@promise("LEAK-01", "LEAK-02", "LEAK-06", "LEAK-08")
@both_families
def test_nothing_is_begun_from_it(server: Command, family: int) -> None:
    lab = server.lab
    lab.wan1.dial(CLIENT[family], SERVICE[family], PORT)
    assert not unasked(server, family)
    refused = server.ask("tcp", to=SERVER[family], source=SERVICE[family], seconds=0.3)
    assert refused.error in NO_WAY
    assert not astray(lab, server, "tcp", family, lab.wan1)


@promise("NEG-02")
@both_families
def test_without_the_guard_it_would_be(family: int) -> None:
    with serving() as command:
        assert not unasked(command, family)
        command.switch_off("guard")
        assert unasked(command, family) == ["wan1"]
