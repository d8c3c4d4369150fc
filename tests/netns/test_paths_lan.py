"""The LAN stays reachable, no other tunnel catches the command, and --strict leaves only the adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from procroute.lab import TUN, VPN, Lab, Uplink
from procroute.lab.patience import FACTOR
from tests.lab import foreign
from tests.netns.inhabitants import Command, Inhabitant, bystander, routed
from tests.netns.traffic import (
    FAMILIES,
    SERVER,
    WAYS,
    astray,
    both_families,
    elsewhere,
    gateway,
    own_address,
)

promise = pytest.mark.promise
each_way = pytest.mark.parametrize("way", WAYS)

BEHIND_LAN = {4: "10.77.1.1", 6: "fd77::1"}
PREFIX = {4: "10.77.0.0/16", 6: "fd77::/48"}
LATER = {4: "172.20.1.1", 6: "fd78::1"}
LATER_PREFIX = {4: "172.20.0.0/16", 6: "fd78::/48"}


def add_route(lab: Lab, prefix: dict[int, str], uplink: Uplink) -> None:
    """A route in main, in both families."""
    for family in FAMILIES:
        lab.ip(f"-{family} route add {prefix[family]} via {gateway(uplink, family)} dev {uplink.adapter}")


@pytest.fixture(scope="module")
def command() -> Iterator[Command]:
    """A command by wan1 on a machine that prefers wan2 and has a private network behind the LAN."""
    with Lab(main="both") as lab:
        add_route(lab, PREFIX, lab.lan)
        with routed(lab) as command:
            yield command


@promise("LAN-01")
@each_way
@pytest.mark.parametrize("where", ["link scope", "private"])
@both_families
def test_the_lan_is_reached_as_before(command: Command, family: int, where: str, way: str) -> None:
    lab = command.lab
    to = gateway(lab.lan, family) if where == "link scope" else BEHIND_LAN[family]
    assert not astray(lab, command, way, family, lab.lan, to=to)


@promise("LAN-01")
def test_ten_thousand_private_networks_are_reached() -> None:
    """As a router of a large site has them, half of each family."""
    with Lab(main="both") as lab:
        for family, prefixes in {
            4: [f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000)],
            6: [f"fd77:{n:x}::/32" for n in range(5000)],
        }.items():
            via = f"via {gateway(lab.lan, family)} dev {lab.lan.adapter}"
            lab.batch("".join(f"route add {prefix} {via}\n" for prefix in prefixes))
        with routed(lab) as command:
            for family, to in ((4, "10.0.0.1"), (4, "10.19.135.1"), (6, "fd77:0::1"), (6, "fd77:1387::1")):
                assert not astray(lab, command, "tcp", family, lab.lan, to=to)
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan1)


@promise("LAN-01")
@each_way
@both_families
def test_another_uplinks_own_subnet_is_link_scope_too(command: Command, family: int, way: str) -> None:
    lab = command.lab
    assert not astray(lab, command, way, family, lab.wan2, to=gateway(lab.wan2, family))


@promise("LAN-01")
@each_way
@both_families
def test_the_adapters_own_subnet_and_loopback_are_reached(command: Command, family: int, way: str) -> None:
    lab = command.lab
    assert not astray(lab, command, way, family, lab.wan1, to=gateway(lab.wan1, family))
    assert not loopback_fails(lab, command, family)


def loopback_fails(lab: Lab, command: Inhabitant, family: int) -> list[str]:
    """What is wrong between the command and a server on loopback or on an own address."""
    here = {4: "127.0.0.1", 6: "::1"}[family]
    findings = []
    for address in (here, own_address(lab.wan2, family)):
        if not command.ask("ping", to=address).error:
            continue
        findings.append(f"{address} does not answer")
    return findings


@promise("LAN-01")
@both_families
def test_routes_to_the_lan_that_come_and_go_are_followed(command: Command, family: int) -> None:
    lab, to = command.lab, LATER[family]
    lab.ip(f"-{family} route add {LATER_PREFIX[family]} via {gateway(lab.lan, family)} dev lan0")
    assert becomes_right(lab, command, family, lab.lan, to)
    lab.ip(f"-{family} route del {LATER_PREFIX[family]} dev lan0")
    assert becomes_right(lab, command, family, lab.wan1, to)


def becomes_right(
    lab: Lab, command: Command, family: int, uplink: Uplink, to: str = "", seconds: float = 2
) -> bool:
    """Whether TCP to that address leaves by that uplink within some time."""
    deadline = time.monotonic() + seconds * FACTOR
    while astray(lab, command, "tcp", family, uplink, to=to, seconds=0.2):
        if time.monotonic() > deadline:
            return False
    return True


# --- other tunnels


VPNS = [
    pytest.param(foreign.openvpn, id="openvpn", marks=promise("LAN-02")),
    pytest.param(foreign.wireguard_all_but_lan, id="wireguard", marks=promise("LAN-03")),
    pytest.param(foreign.wg_quick_rule, id="wg-quick", marks=promise("LAN-04")),
    pytest.param(foreign.tailscale, id="tailscale", marks=promise("LAN-05")),
]


@pytest.fixture(scope="module", params=VPNS)
def beside_vpn(request: pytest.FixtureRequest) -> Iterator[tuple[Command, Inhabitant]]:
    """A command by wan1 and a bystander on a machine whose VPN takes everything."""
    with Lab(main="both") as lab:
        request.param(lab)
        with routed(lab) as command, bystander(lab) as other:
            yield command, other


@each_way
@both_families
def test_no_vpn_catches_the_command(beside_vpn: tuple[Command, Inhabitant], family: int, way: str) -> None:
    command, other = beside_vpn
    lab = command.lab
    assert not astray(lab, other, way, family, lab.uplinks[VPN.adapter])
    assert not astray(lab, command, way, family, lab.wan1)


@promise("LAN-01")
@both_families
def test_the_lan_and_the_vpns_own_network_are_reached(
    beside_vpn: tuple[Command, Inhabitant], family: int
) -> None:
    """A VPN's private network counts as LAN."""
    command, _ = beside_vpn
    lab = command.lab
    assert not astray(lab, command, "tcp", family, lab.lan, to=gateway(lab.lan, family))
    vpn = lab.uplinks[VPN.adapter]
    assert not astray(lab, command, "tcp", family, vpn, to=gateway(vpn, family))


@pytest.mark.parametrize("dial_up", VPNS)
def test_a_vpn_that_comes_up_later_does_not_either(dial_up: Callable[[Lab], Uplink]) -> None:
    """Its rules get a preference before ours, since the kernel puts a rule without one before all others."""
    with Lab(main="both") as lab, routed(lab) as command, bystander(lab) as other:
        for family in FAMILIES:
            assert not command.ask("tcp", to=SERVER[family], keep=f"tcp {family}").error
        lab.clear()
        vpn = dial_up(lab)
        for family in FAMILIES:
            for way in WAYS:
                command.ask(way, to=SERVER[family], seconds=0.1)
        assert not elsewhere(lab, "wan1")
        for family in FAMILIES:
            assert not astray(lab, other, "tcp", family, vpn)
            assert becomes_right(lab, command, family, lab.wan1)
            assert "again" in command.ask("again", name=f"tcp {family}").said
            for way in WAYS:
                assert not astray(lab, command, way, family, lab.wan1)


@promise("LAN-02")
def test_a_tun_with_openvpns_halves_does_not_catch_it() -> None:
    """What OpenVPN really makes: a point-to-point adapter."""
    with Lab(main="both") as lab:
        vpn = lab.add(TUN, tunnel=True)
        halves = {4: ("0.0.0.0/1", "128.0.0.0/1"), 6: ("::/3", "2000::/4", "3000::/4", "fc00::/7")}
        for family in FAMILIES:
            for prefix in halves[family]:
                lab.ip(f"-{family} route add {prefix} dev tun0")
        with routed(lab) as command, bystander(lab) as other:
            for family in FAMILIES:
                assert not astray(lab, other, "tcp", family, vpn)
                for way in WAYS:
                    assert not astray(lab, command, way, family, lab.wan1)


# --- strict


@pytest.fixture(scope="module")
def strict() -> Iterator[Command]:
    """A strict command by wan1, on a machine with a LAN, a network behind it, and OpenVPN."""
    with Lab(main="both") as lab:
        foreign.openvpn(lab)
        add_route(lab, PREFIX, lab.lan)
        with routed(lab, "--strict") as command:
            yield command


def outside(lab: Lab, family: int) -> list[str]:
    """Addresses that a strict route must not reach other than by its adapter, if at all."""
    uplinks = [uplink for uplink in lab.uplinks.values() if uplink is not lab.wan1]
    return [*(gateway(uplink, family) for uplink in uplinks), BEHIND_LAN[family]]


def reached(command: Command, family: int, way: str) -> list[str]:
    """What of it is reached by another adapter."""
    lab = command.lab
    lab.clear()
    for to in outside(lab, family):
        command.ask(way, to=to, seconds=0.2)
    return elsewhere(lab, "wan1")


@promise("LAN-06")
@each_way
@both_families
def test_strict_leaves_only_the_adapter_and_loopback(strict: Command, family: int, way: str) -> None:
    lab = strict.lab
    assert not astray(lab, strict, way, family, lab.wan1)
    assert not astray(lab, strict, way, family, lab.wan1, to=gateway(lab.wan1, family))
    assert not loopback_fails(lab, strict, family)
    assert not reached(strict, family, way)


@promise("LAN-06")
@both_families
def test_strict_holds_for_bound_sockets(strict: Command, family: int) -> None:
    lab = strict.lab
    lab.clear()
    for uplink in (lab.lan, lab.wan2, lab.uplinks[VPN.adapter]):
        source = own_address(uplink, family)
        for way in ("tcp", "udp", "unconnected"):
            for to in (gateway(uplink, family), SERVER[family]):
                assert strict.ask(way, to=to, source=source, seconds=0.1).error
    assert not elsewhere(lab, "wan1")


@promise("NEG-02")
@both_families
def test_a_route_that_is_not_strict_would_show(command: Command, family: int) -> None:
    """What the check for strictness says of one that is not."""
    lab = command.lab
    assert not astray(lab, command, "tcp", family, lab.wan1)
    came_out = {packet.partition(":")[0] for packet in reached(command, family, "tcp")}
    assert came_out == {"lan0", "wan2"}


@pytest.fixture(scope="module")
def free() -> Iterator[Command]:
    """A command beside OpenVPN, with neither mark nor guard any more."""
    with Lab(main="both") as lab:
        foreign.openvpn(lab)
        with routed(lab) as command:
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan1)
            command.switch_off("mark", "guard")
            yield command


@promise("NEG-01", "NEG-02")
@each_way
@both_families
def test_without_mark_and_guard_the_vpn_catches_it(free: Command, family: int, way: str) -> None:
    lab = free.lab
    assert astray(lab, free, way, family, lab.wan1)
    assert not astray(lab, free, way, family, lab.uplinks[VPN.adapter])
