"""A route through WireGuard: what the command sends comes out of the tunnel, bystanders go by main.

Run in a virtual machine (`make test-vm`), for a kernel with WireGuard.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from procroute.kernel import programs
from procroute.lab import Lab, Uplink
from tests.netns.inhabitants import Command, Inhabitant, bystander, routed
from tests.netns.running import run, until
from tests.netns.traffic import FAMILIES, NO_WAY, SERVER, WAYS, _wrong, both_families, gateway, own_address
from tests.vm import peer

promise = pytest.mark.promise
each_way = pytest.mark.parametrize("way", WAYS)
lan_and_strict = pytest.mark.parametrize("options", [(), ("--strict",)], ids=["lan", "strict"])
DNS = {4: peer.WG.dns4, 6: peer.WG.dns6}
QUIET = 0.3
"""Seconds in which a packet that was sent has arrived."""


class Place(NamedTuple):
    """A machine with WireGuard, a command and a bystander in it; whether the command's route is strict."""

    lab: Lab
    strict: bool
    wg: Uplink
    command: Command
    other: Inhabitant


def astray(lab: Lab, who: Inhabitant, way: str, family: int, uplink: Uplink, to: str = "") -> list[str]:
    """Send one thing and say what is not as it should be when it leaves by `uplink`, and only there."""
    to = to or SERVER[family]
    settle(lab)
    lab.clear()
    heard = who.ask(way, to=to)
    settle(lab)
    source = own_address(uplink, family)
    findings = [f"{way} failed: {heard.error}"] if heard.error else _wrong(heard, way, uplink, source)
    if not uplink.packets(source=source, destination=to):
        findings.append(f"nothing from {source} came out by {uplink.adapter}")
    return findings + elsewhere(lab, uplink.adapter)


def settle(lab: Lab) -> None:
    """What was sent has come out: WireGuard hands packets to workers and takes no markers."""
    time.sleep(QUIET)
    lab.settle()


def elsewhere(lab: Lab, *allowed: str) -> list[str]:
    """Packets by any adapter but the allowed ones; WireGuard's own may go by the uplink that main prefers.

    So may the kernel's answer to what the peer sends after the tunnel's end.
    """
    return [
        f"{adapter}: {packet}"
        for adapter, uplink in lab.uplinks.items()
        if adapter not in allowed
        for packet in uplink.packets()
        if not (adapter == "wan2" and (peer.is_outer(packet) or peer.is_refusal(packet)))
    ]


def outer(uplink: Uplink) -> int:
    """How many packets of WireGuard's own came by an uplink."""
    return len(uplink.packets(where=peer.is_outer))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(((), 0, 4), id="lan-rp_filter=0-outer=IPv4"),
        pytest.param((("--strict", "--dns", DNS[4]), 0, 6), id="strict-rp_filter=0-outer=IPv6"),
        pytest.param(((), 1, 4), id="lan-rp_filter=1-outer=IPv4"),
        pytest.param(((), 2, 6), id="lan-rp_filter=2-outer=IPv6"),
        pytest.param((("--strict", "--dns", DNS[4]), 1, 4), id="strict-rp_filter=1-outer=IPv4"),
    ],
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """main prefers wan2; the peer is out there."""
    options, rp_filter, family = request.param
    with Lab(main="both", rp_filter=rp_filter) as lab:
        wg = peer.dial_up(lab, outer=family)
        with routed(lab, *options, via="wg0") as command, bystander(lab) as other:
            yield Place(lab, "--strict" in options, wg, command, other)


@promise("TUN-02", "PATH-08")
@each_way
@both_families
def test_it_leaves_through_the_tunnel(place: Place, family: int, way: str) -> None:
    lab = place.lab
    assert not astray(lab, place.command, way, family, place.wg)
    assert outer(lab.wan2)
    assert not outer(lab.wan1)
    assert programs.drops(place.command.target) == {}


@promise("TUN-02", "BY-03")
@each_way
@both_families
def test_bystanders_go_by_main(place: Place, family: int, way: str) -> None:
    lab = place.lab
    assert not astray(lab, place.other, way, family, lab.wan2)
    assert programs.drops(place.command.target) == {}


@promise("TUN-02", "LAN-01", "LAN-06")
@each_way
@both_families
def test_the_lan_is_beside_the_tunnel_unless_strict(place: Place, family: int, way: str) -> None:
    lab = place.lab
    uplink = place.wg if place.strict else lab.lan
    assert not astray(lab, place.command, way, family, uplink, to=gateway(lab.lan, family))
    assert not astray(lab, place.other, way, family, lab.lan, to=gateway(lab.lan, family))


LOOK_UP = """
import socket, sys
for family in (socket.AF_INET, socket.AF_INET6):
    print(socket.getaddrinfo("who.procroute.test", None, family, socket.SOCK_STREAM)[0][4][0])
for address in sys.argv[2:]:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(bytes.fromhex(sys.argv[1]), (address, 53))
        print(sock.recvfrom(4096)[1][0])
"""


def question(name: str) -> bytes:
    """A DNS question for an A record (RFC 1035, 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


@promise("TUN-02", "DNS-01")
@lan_and_strict
@both_families
def test_look_ups_go_through_the_tunnel(place: Place, family: int, options: tuple[str, ...]) -> None:
    """The C library's, and those to the system's own name server, which lies behind wan2."""
    lab, wg = place.lab, place.wg
    settle(lab)
    lab.clear()
    system = lab.wan2.wire.dns4 if family == 4 else lab.wan2.wire.dns6
    words = [sys.executable, "-S", "-c", LOOK_UP, question("raw.test").hex(), system]
    done = run(lab, "wg0", *words, options=("--dns", DNS[family], *options), timeout=60)
    settle(lab)
    assert done.stdout.split() == ["10.99.0.6", "fd99::6", system], done.stderr
    queries = wg.queries()
    assert {query.name for query in queries} == {"who.procroute.test", "raw.test"}
    assert {query.client for query in queries} == {own_address(wg, family)}
    assert {query.server for query in queries} == {DNS[family]}
    assert not elsewhere(lab, "wg0")


@promise("LEAK-01", "LEAK-04")
@lan_and_strict
@both_families
def test_another_adapters_address_is_held(place: Place, family: int, options: tuple[str, ...]) -> None:
    """In a lab of its own command, so that the counter of the others stays 0."""
    lab = place.lab
    with routed(lab, *options, "--dns", DNS[family], via="wg0") as command:
        settle(lab)
        lab.clear()
        assert command.ask("tcp", to=SERVER[family], source=own_address(lab.wan2, family)).error
        settle(lab)
        assert not elsewhere(lab, "wg0")
        assert command.drops("wan2") > 0
        assert not astray(lab, command, "tcp", family, place.wg)


@promise("NEG-01")
@lan_and_strict
@both_families
def test_without_the_mark_nothing_reaches_the_tunnel(family: int, options: tuple[str, ...]) -> None:
    """The guard alone lets nothing out; without it either everything leaves as a bystander's does."""
    with Lab(main="both") as lab:
        wg = peer.dial_up(lab)
        with routed(lab, *options, via="wg0") as command, bystander(lab) as other:
            for way in WAYS:
                assert not astray(lab, command, way, family, wg)
            command.switch_off("mark")
            for way in WAYS:
                settle(lab)
                lab.clear()
                assert command.ask(way, to=SERVER[family], seconds=1).error
                settle(lab)
                assert not wg.packets()
                assert not elsewhere(lab)
            command.switch_off("guard")
            for way in WAYS:
                assert astray(lab, command, way, family, wg)
                assert not astray(lab, other, way, family, lab.wan2)


@promise("TUN-02", "DOWN-01", "DOWN-06")
@lan_and_strict
def test_the_tunnel_ends_and_comes_back_as_another_adapter(options: tuple[str, ...]) -> None:
    with Lab(main="both") as lab:
        wg = peer.dial_up(lab)
        with routed(lab, *options, via="wg0") as command:
            assert not astray(lab, command, "tcp", 4, wg)
            peer.down(lab)
            settle(lab)
            lab.clear()
            for family in FAMILIES:
                for way in ("tcp", "udp", "unconnected"):
                    heard = command.ask(way, to=SERVER[family], seconds=1)
                    assert heard.error in NO_WAY
            settle(lab)
            assert not elsewhere(lab)
            peer.up(lab)
            until(lambda: not command.ask("tcp", to=SERVER[4]).error, what="the way back")
            for family in FAMILIES:
                for way in WAYS:
                    assert not astray(lab, command, way, family, wg)


@pytest.fixture(scope="module")
def full_tunnel() -> Iterator[tuple[Lab, Uplink, Inhabitant]]:
    """wg-quick as it is by default: all traffic of the machine goes through the tunnel."""
    with Lab(main="both") as lab:
        wg = peer.dial_up(lab, table="auto")
        with bystander(lab) as other:
            yield lab, wg, other


@promise("LAN-04", "TUN-02")
@lan_and_strict
@pytest.mark.parametrize("via", ["wan1", "wan2", "wg0"])
def test_beside_wg_quicks_rule(
    full_tunnel: tuple[Lab, Uplink, Inhabitant], via: str, options: tuple[str, ...]
) -> None:
    """It catches bystanders, and no routed command."""
    lab, wg, other = full_tunnel
    wire = lab.uplinks[via].wire
    with routed(lab, *options, "--dns", wire.dns4, via=via) as command:
        for family in FAMILIES:
            for way in WAYS:
                assert not astray(lab, other, way, family, wg)
                assert not astray(lab, command, way, family, lab.uplinks[via])
        assert programs.drops(command.target) == {}
