"""The adapter that somebody asked for is found and fit, or refused with what would help."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from procroute.core import choose
from procroute.core.machine import Machine
from procroute.errors import ProcrouteError
from procroute.model import Adapter, LiveRoute, Route
from tests.plans import words

WAN1 = words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64", altnames=["enp0s31f6"])
WAN2 = words.adapter("wan2", 3, "203.0.113.2/24", "2001:db8:2::2/64")
LO = words.adapter("lo", 1, "127.0.0.1/8", "::1/128", loopback=True)
GATEWAYS = ["0.0.0.0/0 via 198.51.100.1 dev wan1", "::/0 via fe80::1 dev wan1"]


def machine(*adapters: Adapter, main: list[str] | None = None, **settings: Any) -> Machine:
    """Loopback, wan2 and others; wan1 has gateways, unless main says otherwise."""
    return words.machine(LO, WAN2, *adapters, main=GATEWAYS if main is None else main, **settings)


def refusal(here: Machine, route: Route) -> ProcrouteError:
    """Why a route cannot be."""
    with pytest.raises(ProcrouteError) as caught:
        choose.check_ways(here, LiveRoute(route, 0))
    return caught.value


@pytest.mark.promise("ERR-01")
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("wan", "wan1 or wan2"),
        ("wam", "wan1 or wan2"),
        ("wna1", "wan1"),
        ("enp0s31f7", "enp0s31f6"),
        ("WAN1", "wan1"),
        ("wan1@if2", "wan1"),
        ("wan1@wan2", "wan1"),
        ("enp0s31f6@if2", "enp0s31f6"),
        ("wan3@if2", "wan1 or wan2"),
        ("x", ""),
        ("", ""),
    ],
)
def test_an_unknown_adapter_has_a_nearest_name_and_candidates(name: str, near: str) -> None:
    error = refusal(machine(WAN1), Route(name))
    assert (error.code, error.message) == ("adapter-unknown", f"there is no adapter {name}")
    meant = f"did you mean {near}? " if near else ""
    assert error.hint == f"{meant}adapters here: wan1; without a way out now: wan2"


@pytest.mark.promise("ERR-01")
@pytest.mark.parametrize("name", ["wan\x1b[2J1", "a\nb", "fe80::1%\x1b[2J"])
def test_an_unknown_adapters_name_cannot_steer_a_terminal(name: str) -> None:
    assert refusal(machine(WAN1), Route(name)).message.isprintable()


@pytest.mark.promise("ERR-01")
def test_of_many_that_are_equally_near_none_is_named() -> None:
    many = [words.adapter(f"wan{n}", 10 + n) for n in range(3, 6)]
    assert refusal(machine(WAN1, *many), Route("wan9")).hint.startswith("adapters here: wan1; ")


def test_where_no_adapter_is_the_hint_says_so() -> None:
    assert refusal(words.machine(LO), Route("wan1")).hint == "adapters here: none"


@pytest.mark.promise("ERR-01")
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("198.51.100.2", "did you mean --via wan1? "),
        ("2001:db8:2::2", "did you mean --via wan2? "),
        ("198.51.100.1", "did you mean --via wan1 --gateway4 198.51.100.1? "),
        ("fe80::1%wan1", "did you mean --via wan1 --gateway6 fe80::1? "),
        ("192.0.2.9", ""),
        ("fe80::1", ""),
    ],
)
def test_an_address_is_no_adapter_and_the_hint_says_whose_it_is(name: str, meant: str) -> None:
    error = refusal(machine(WAN1), Route(name))
    assert error.message == f"{name} is an address; --via takes the name of an adapter"
    assert error.hint == f"{meant}adapters here: wan1; without a way out now: wan2"


@pytest.mark.promise("ERR-01")
def test_of_many_adapters_without_a_way_out_some_are_named() -> None:
    many = [words.adapter(f"veth{n}", 10 + n) for n in range(20)]
    hint = refusal(machine(WAN1, *many), Route("x")).hint
    listed = ", ".join(f"veth{n}" for n in range(7))
    assert hint == f"adapters here: wan1; without a way out now: wan2, {listed} and 13 more"


@pytest.mark.parametrize("name", ["wan1", "enp0s31f6"])
def test_adapters_have_alternative_names(name: str) -> None:
    assert choose.find(machine(WAN1), name) == WAN1


@pytest.mark.promise("ERR-02")
def test_what_is_down_is_said_and_how_to_set_it_up() -> None:
    error = refusal(machine(words.adapter("wan1", 2, up=False), main=[]), Route("wan1"))
    assert (error.code, error.hint) == ("adapter-down", "ip link set wan1 up")


@pytest.mark.promise("ERR-02")
def test_no_carrier_is_said() -> None:
    down = words.adapter("wan1", 2, "198.51.100.2/24", carrier=False)
    error = refusal(machine(down, main=GATEWAYS[:1]), Route("wan1"))
    assert (error.code, error.message) == ("adapter-down", "adapter wan1 has no carrier")


def test_nothing_leaves_by_loopback() -> None:
    assert refusal(machine(WAN1), Route("lo")).code == "adapter-unfit"


@pytest.mark.promise("ERR-10")
@pytest.mark.parametrize(
    ("kind", "says", "hint"),
    [
        ("bridge", "wan1 is a part of top (bridge)", "--via top, or the adapter that has the address"),
        ("bond", "wan1 is a part of top (bond)", "--via top, or the adapter that has the address"),
        ("vrf", "wan1 belongs to the VRF top: its answers go only to", "ip vrf exec top CMD"),
    ],
)
def test_a_part_of_another_adapter_is_no_way_out(kind: str, says: str, hint: str) -> None:
    part = replace(WAN1, master=9, member_of=kind)
    top = words.adapter("top", 9, kind=kind)
    error = refusal(machine(part, top), Route("wan1"))
    assert (error.code, error.hint) == ("adapter-unfit", hint)
    assert error.message.startswith(says)


@pytest.mark.promise("ERR-10")
def test_nor_is_a_vrf_itself() -> None:
    error = refusal(machine(WAN1, words.adapter("blue", 9, kind="vrf")), Route("blue"))
    assert error.message.startswith("blue is a VRF")


@pytest.mark.promise("ERR-03")
def test_no_gateway_known_says_how_to_give_one() -> None:
    error = refusal(machine(WAN1, main=[]), Route("wan1"))
    assert (error.code, error.hint) == (
        "gateway-unknown",
        "give it: --gateway4 ADDRESS or --gateway6 ADDRESS",
    )


@pytest.mark.promise("ERR-03")
def test_only_the_gateway_that_could_be_used_is_asked_for() -> None:
    one = words.adapter("wan1", 2, "198.51.100.2/24")
    assert refusal(machine(one, main=[]), Route("wan1")).hint == "give it: --gateway4 ADDRESS"


def test_no_address_is_said() -> None:
    for addresses in ((), ("fe80::2/64",), ("2001:db8:1::2/64 tentative",)):
        error = refusal(machine(words.adapter("wan1", 2, *addresses), main=[]), Route("wan1"))
        assert error.code == "address-missing"


@pytest.mark.promise("FAM-01", "FAM-02")
@pytest.mark.parametrize(
    ("main", "lines"),
    [
        (GATEWAYS, []),
        (GATEWAYS[:1], ["wan1 has no IPv6 gateway: IPv6 is unreachable for this command"]),
        (GATEWAYS[1:], ["wan1 has no IPv4 gateway: IPv4 is unreachable for this command"]),
    ],
)
def test_one_usable_family_is_enough(main: list[str], lines: list[str]) -> None:
    assert choose.check_ways(machine(WAN1, main=main), LiveRoute(Route("wan1"), 0)) == lines


@pytest.mark.promise("FAM-02")
def test_a_family_without_address_is_said() -> None:
    one = words.adapter("wan1", 2, "198.51.100.2/24")
    assert choose.check_ways(machine(one, main=GATEWAYS[:1]), LiveRoute(Route("wan1"), 0)) == [
        "wan1 has no IPv6 address: IPv6 is unreachable for this command"
    ]


@pytest.mark.promise("FAM-01")
def test_a_kernel_without_ipv6_is_no_news() -> None:
    one = words.adapter("wan1", 2, "198.51.100.2/24")
    assert choose.check_ways(machine(one, main=GATEWAYS[:1], ipv6=False), LiveRoute(Route("wan1"), 0)) == []


@pytest.mark.promise("FAM-03")
def test_a_tunnel_needs_no_gateway() -> None:
    tun = words.adapter("tun0", 9, "10.8.0.2/32", "fd08::2/128", tunnel=True)
    assert choose.check_ways(machine(tun, main=[]), LiveRoute(Route("tun0"), 0)) == []


@pytest.mark.promise("CLI-11")
def test_given_gateways_are_taken_where_none_is_known() -> None:
    route = Route("wan1", gateway4=IPv4Address("198.51.100.9"), gateway6=IPv6Address("fe80::9"))
    assert choose.check_ways(machine(WAN1, main=[]), LiveRoute(route, 0)) == []


@pytest.mark.promise("CLI-11")
@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        ("198.51.100.2", "own address"),
        ("203.0.113.2", "own address"),
        ("224.0.0.1", "cannot be a gateway"),
        ("0.0.0.0", "cannot be a gateway"),
        ("127.0.0.9", "cannot be a gateway"),
        ("255.255.255.255", "cannot be a gateway"),
        ("198.51.100.0", "network address of 198.51.100.0/24"),
        ("198.51.100.255", "broadcast address of 198.51.100.0/24"),
        ("203.0.113.1", "behind wan2, not behind wan1"),
        ("2001:db8:1::2", "own address"),
        ("2001:db8:2::2", "own address"),
        ("ff02::2", "cannot be a gateway"),
        ("::", "cannot be a gateway"),
        ("::1", "cannot be a gateway"),
        ("::ffff:198.51.100.1", "IPv4 address: --gateway4 198.51.100.1"),
        ("2001:db8:2::1", "behind wan2, not behind wan1"),
    ],
)
def test_given_gateways_that_make_no_sense_are_refused(gateway: str, why: str) -> None:
    error = refusal(machine(WAN1), by(gateway))
    assert error.code == "gateway-bad"
    assert why in error.message
    assert error.hint == "the router's address on the LAN of wan1"


@pytest.mark.promise("CLI-11")
@pytest.mark.parametrize(
    ("gateway", "main"),
    [
        ("192.0.2.1", []),
        ("10.255.255.1", ["10.0.0.0/8 dev tun0"]),
        ("10.255.255.1", ["10.0.0.0/8 via 203.0.113.9 dev wan2"]),
        ("203.0.113.1", ["0.0.0.0/0 via 203.0.113.1 dev wan1"]),
        ("198.51.100.6", []),
        ("2001:db8:1::", []),
        ("2001:db8:9::1", ["::/0 via 2001:db8:2::1 dev wan2"]),
        ("fe80::1", ["fe80::/64 dev wan2"]),
    ],
)
def test_given_gateways_off_the_adapters_subnets_are_taken(gateway: str, main: list[str]) -> None:
    """Common on rented servers; and the ends of a subnet of two, or of IPv6, are hosts."""
    wan1 = words.adapter("wan1", 2, "198.51.100.7/31", "2001:db8:1::2/64")
    tun = words.adapter("tun0", 9, "10.8.0.2/32", tunnel=True)
    said = choose.check_ways(machine(wan1, tun, main=main), LiveRoute(by(gateway), 0))
    outside = f"{gateway} is in no subnet of wan1; taken as directly reachable"
    known = gateway in {"198.51.100.6", "2001:db8:1::", "fe80::1"} or f"via {gateway}" in " ".join(main)
    assert [line for line in said if "subnet" in line] == [outside] * (not known)


@pytest.mark.promise("CLI-11")
@pytest.mark.parametrize(
    ("gateway", "main"),
    [("10.99.0.1", ["10.99.0.1/32 dev wan1"]), ("2001:db8:9::1", ["2001:db8:9::1/128 dev wan1"])],
)
def test_a_gateway_that_main_has_a_link_to_is_no_news(gateway: str, main: list[str]) -> None:
    said = choose.check_ways(machine(WAN1, main=GATEWAYS + main), LiveRoute(by(gateway), 0))
    assert said == []


def by(gateway: str) -> Route:
    """A route by wan1 with a given gateway."""
    if ":" in gateway:
        return Route("wan1", gateway6=IPv6Address(gateway))
    return Route("wan1", gateway4=IPv4Address(gateway))


@pytest.mark.promise("CLI-11")
def test_a_gateway_for_a_family_without_address_is_refused() -> None:
    one = words.adapter("wan1", 2, "198.51.100.2/24")
    error = refusal(machine(one, main=GATEWAYS[:1]), Route("wan1", gateway6=IPv6Address("fe80::9")))
    assert error.message == "gateway fe80::9 is of no use: wan1 has no IPv6 address"


@pytest.mark.promise("DOWN-06", "CLI-13")
def test_a_route_that_is_in_use_goes_by_the_gateway_that_is_known_of_it() -> None:
    known = (ip_address("198.51.100.1"), ip_address("2001:db8:1::1"))
    assert choose.check_ways(machine(WAN1, main=[]), LiveRoute(Route("wan1"), 1, (), known)) == []
