"""Where an adapter's default leads."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from procroute.core.desired import remembered
from procroute.core.gateways import (
    WayOut,
    awaited_gateways,
    default_entry,
    gateways_of,
    gateways_to_ask,
    known_gateways,
    leads_out,
    way_out,
)
from procroute.core.machine import Machine
from procroute.model import Adapter, Family, IPAddress, LiveRoute, Route
from tests.plans import words

WAN1 = words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64")
WAN2 = words.adapter("wan2", 3, "203.0.113.2/24")
TUN0 = words.adapter("tun0", 9, "10.8.0.2/24", tunnel=True)
BY_WAN1 = Route("wan1")


def machine(*main: str, adapters: tuple[Adapter, ...] = (WAN1, WAN2, TUN0), **settings: Any) -> Machine:
    """A machine with these lines in main."""
    return words.machine(*adapters, main=main, **settings)


def gateway(here: Machine, route: Route = BY_WAN1, known: tuple[str, ...] = ()) -> IPAddress | None:
    """The IPv4 gateway of a route; LookupError without a way out."""
    adapter = here.adapter(route.adapter)
    assert adapter is not None
    way = way_out(here, adapter, Family.IPV4, LiveRoute(route, 1, (), tuple(map(ip_address, known))))
    if not isinstance(way, WayOut):
        raise LookupError(way.reason)
    return way.gateway


def test_the_best_of_mains_defaults_counts() -> None:
    here = machine(
        "0.0.0.0/0 via 198.51.100.9 dev wan1 metric 500",
        "0.0.0.0/0 via 198.51.100.1 dev wan1 metric 100",
        "0.0.0.0/0 via 203.0.113.1 dev wan2",
    )
    assert gateway(here) == ip_address("198.51.100.1")


def test_a_hop_of_a_multipath_default_counts() -> None:
    here = machine("0.0.0.0/0 nexthop via 203.0.113.1 dev wan2 nexthop via 198.51.100.1 dev wan1")
    assert gateway(here) == ip_address("198.51.100.1")


def test_unreachable_defaults_do_not_count() -> None:
    with pytest.raises(LookupError, match="no IPv4 gateway"):
        gateway(machine("unreachable 0.0.0.0/0"))


@pytest.mark.promise("CLI-11")
def test_a_given_gateway_holds_against_main() -> None:
    route = Route("wan1", gateway4=IPv4Address("198.51.100.77"))
    assert gateway(machine("0.0.0.0/0 via 198.51.100.1 dev wan1"), route) == ip_address("198.51.100.77")


@pytest.mark.promise("DOWN-06")
def test_what_was_known_is_used_while_main_has_none() -> None:
    assert gateway(machine(), known=("198.51.100.1",)) == ip_address("198.51.100.1")


@pytest.mark.promise("DOWN-06")
def test_what_was_known_is_forgotten_on_another_network() -> None:
    with pytest.raises(LookupError, match="no IPv4 gateway"):
        gateway(machine(), known=("192.0.2.1",))


@pytest.mark.promise("DOWN-06")
def test_main_holds_against_what_was_known() -> None:
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1")
    assert gateway(here, known=("198.51.100.9",)) == ip_address("198.51.100.1")


@pytest.mark.promise("FAM-03")
def test_a_tunnel_needs_none_and_takes_one() -> None:
    assert gateway(machine(), Route("tun0")) is None
    assert gateway(machine("0.0.0.0/0 dev tun0"), Route("tun0")) is None
    assert gateway(machine("0.0.0.0/0 via 10.8.0.1 dev tun0"), Route("tun0")) == ip_address("10.8.0.1")


@pytest.mark.promise("DOWN-01", "DOWN-02", "DOWN-03")
@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (words.adapter("wan1", 2, "198.51.100.2/24", up=False), "set down"),
        (words.adapter("wan1", 2, "198.51.100.2/24", carrier=False), "no carrier"),
        (words.adapter("wan1", 2, "2001:db8:1::2/64"), "no IPv4 address"),
    ],
)
def test_there_is_no_way_without_link_carrier_or_address(changed: Adapter, why: str) -> None:
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1", adapters=(changed, WAN2))
    with pytest.raises(LookupError, match=why):
        gateway(here, Route("wan1", gateway4=IPv4Address("198.51.100.9")))


@pytest.mark.promise("DOWN-05")
def test_a_gateway_that_does_not_answer_is_no_way() -> None:
    silent = (2, ip_address("198.51.100.1"))
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1", failed_gateways=frozenset({silent}))
    assert default_entry(here, WAN1, Family.IPV4, None) is None


@pytest.mark.promise("DOWN-05")
def test_the_same_address_behind_another_adapter_is_another_gateway() -> None:
    silent = (3, ip_address("198.51.100.1"))
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1", failed_gateways=frozenset({silent}))
    assert default_entry(here, WAN1, Family.IPV4, None) is not None


def test_a_preferred_source_that_has_gone_is_left_out() -> None:
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1 src 198.51.100.66 mtu 1400")
    entry = default_entry(here, WAN1, Family.IPV4, None)
    assert entry is not None
    assert (entry.source, entry.metrics) == (None, (("mtu", 1400),))


@pytest.mark.promise("DOWN-05")
def test_the_gateways_to_watch_are_all_that_could_be_used() -> None:
    route = Route("wan1", gateway4=IPv4Address("198.51.100.77"))
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1", "0.0.0.0/0 via 203.0.113.1 dev wan2")
    live = LiveRoute(route, 1, (), (ip_address("198.51.100.9"),))
    gone = LiveRoute(Route("wan9"), 2, (), (ip_address("192.0.2.1"),))
    expected = {(2, ip_address(f"198.51.100.{n}")) for n in (1, 9, 77)}
    assert gateways_of(here, [live, gone]) == expected


WAN6 = words.adapter("wan1", 2, "fd00:1::2/64", "2001:db8:1::2/64", "2001:db8:7::2/64")


@pytest.mark.promise("PATH-01", "FAM-01")
@pytest.mark.parametrize(
    ("main", "gateway6", "source"),
    [
        (["::/0 from 2001:db8:1::/64 via fe80::1 dev wan1"], "fe80::1", "2001:db8:1::2"),
        (["::/0 from 2000::/3 via fe80::1 dev wan1"], "fe80::1", "2001:db8:1::2"),
        (["::/0 from ::/1 via fe80::7 dev wan2"], None, None),
        (["::/0 from 2001:db8:9::/64 via fe80::1 dev wan1"], None, None),
        (
            ["::/0 from 2001:db8:1::/64 via fe80::1 dev wan1 metric 9", "::/0 via fe80::9 dev wan1"],
            "fe80::9",
            None,
        ),
    ],
)
def test_a_default_for_some_sources_is_taken_where_the_adapter_has_one(
    main: list[str], gateway6: str | None, source: str | None
) -> None:
    """With that source, where the adapter has others, too."""
    entry = default_entry(machine(*main, adapters=(WAN6, WAN2)), WAN6, Family.IPV6, None)
    found = (None, None) if entry is None else (str(entry.hops[0].gateway), entry.source)
    assert found == (gateway6, source and ip_address(source))


def test_where_every_address_will_do_the_kernel_chooses() -> None:
    here = machine("::/0 from 2001:db8::/32 via fe80::1 dev wan1")
    entry = default_entry(here, WAN1, Family.IPV6, None)
    assert entry is not None
    assert entry.source is None


def test_router_advertisements_are_not_remembered() -> None:
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1", "::/0 via fe80::1 dev wan1")
    assert known_gateways(here, WAN1) == (ip_address("198.51.100.1"),)


def test_each_family_is_remembered_on_its_own() -> None:
    live = LiveRoute(Route("wan1"), 1, (), (ip_address("198.51.100.9"), ip_address("2001:db8:1::9")))
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1")
    assert remembered(here, live).known == (ip_address("198.51.100.1"), ip_address("2001:db8:1::9"))


def neighbours(*found: str) -> frozenset[tuple[int, IPAddress]]:
    """`fe80::1 dev wan1` as what it is to the kernel."""
    return frozenset(words.neighbour(one, {"wan1": 2, "wan2": 3}) for one in found)


def gateway6(*main: str, failed: tuple[str, ...] = ()) -> str:
    """The IPv6 gateway that an adapter's default has; none without a default."""
    here = machine(*main, failed_gateways=neighbours(*failed))
    entry = default_entry(here, WAN1, Family.IPV6, None)
    return str(entry.hops[0].gateway) if entry else ""


TWO = ("::/0 via fe80::a dev wan1 metric 10", "::/0 via fe80::b dev wan1 metric 20")


@pytest.mark.promise("DOWN-05")
def test_a_gateway_that_answers_stands_in_for_a_better_one_that_does_not() -> None:
    assert gateway6(*TWO) == "fe80::a"
    assert gateway6(*TWO, failed=("fe80::a dev wan1",)) == "fe80::b"
    assert gateway6(*TWO, failed=("fe80::a dev wan2",)) == "fe80::a"
    assert gateway6(*TWO, failed=("fe80::a dev wan1", "fe80::b dev wan1")) == ""
    assert gateway(machine(*TWO, "0.0.0.0/0 dev wan1 metric 9", "0.0.0.0/0 via 198.51.100.1 dev wan1")) == (
        ip_address("198.51.100.1")
    )


def test_of_routers_with_one_metric_the_preferred_is_taken() -> None:
    """RFC 4191; and the first that main lists of those that are preferred alike."""
    here = machine(*(f"::/0 via fe80::{n} dev wan1 metric 10" for n in "abcd"))
    defaults = [e for e in here.main if e.destination.prefixlen == 0]
    for preferences, expected in (((0, 0, 0, 0), "a"), ((-1, 0, 1, 1), "c"), ((-1, -1, -1, 0), "d")):
        ranked = tuple(replace(e, preference=p) for e, p in zip(defaults, preferences, strict=True))
        entry = default_entry(replace(here, main=ranked), WAN1, Family.IPV6, None)
        assert entry is not None
        assert str(entry.hops[0].gateway) == f"fe80::{expected}"


def test_what_main_says_without_a_gateway_is_held_and_stands_in_for_none() -> None:
    alone = machine("0.0.0.0/0 dev wan1 metric 9")
    assert gateway(alone) is None
    assert gateway(alone, known=("198.51.100.1",)) is None
    silent = neighbours("198.51.100.1 dev wan1")
    beside = machine(
        "0.0.0.0/0 via 198.51.100.1 dev wan1", "0.0.0.0/0 dev wan1 metric 9", failed_gateways=silent
    )
    assert default_entry(beside, WAN1, Family.IPV4, None) is None


def test_an_ipv6_gateway_of_ipv4_is_no_gateway_of_ipv6() -> None:
    here = machine("0.0.0.0/0 via 2001:db8:1::1 dev wan1")
    assert gateway(here) == ip_address("2001:db8:1::1")
    assert default_entry(here, WAN1, Family.IPV6, None) is None
    assert known_gateways(here, WAN1) == ()
    assert gateways_of(here, [LiveRoute(BY_WAN1, 1)]) == neighbours("2001:db8:1::1 dev wan1")


@pytest.mark.promise("PATH-08")
def test_a_source_is_named_where_every_address_is_deprecated() -> None:
    old, new = (words.adapter("wan1", 2, f"2001:db8:{n}::2/64").addresses[0] for n in (1, 7))
    deprecated = replace(old, deprecated=True)
    for addresses, source in (((deprecated,), old.interface.ip), ((deprecated, new), None), ((new,), None)):
        adapter = replace(WAN1, addresses=addresses)
        here = machine("::/0 via fe80::1 dev wan1", adapters=(adapter, WAN2))
        entry = default_entry(here, adapter, Family.IPV6, None)
        assert entry is not None
        assert entry.source == source


def asked(*main: str, failed: tuple[str, ...], route: Route = BY_WAN1, **settings: Any) -> list[list[str]]:
    """Whose answers a route by wan1 waits for, and who of them is asked."""
    here = machine(*main, failed_gateways=neighbours(*failed), **settings)
    awaited = awaited_gateways(here, LiveRoute(route, 1))
    return [sorted(str(g) for _, g in found) for found in (awaited, gateways_to_ask(here, awaited))]


BOTH_DEAD = ("fe80::a dev wan1", "fe80::b dev wan1")


@pytest.mark.promise("DOWN-06")
def test_gateways_are_asked_while_none_of_the_adapter_answers() -> None:
    assert asked(*TWO, failed=("fe80::a dev wan1",)) == [[], []]
    assert asked(*TWO, failed=("fe80::b dev wan1",)) == [[], []]
    assert asked(*TWO, failed=BOTH_DEAD) == [["fe80::a", "fe80::b"]] * 2
    assert (
        asked("0.0.0.0/0 via 198.51.100.1 dev wan1", failed=("198.51.100.1 dev wan1",))
        == [["198.51.100.1"]] * 2
    )
    down = words.adapter("wan1", 2, "2001:db8:1::2/64", up=False)
    assert asked(*TWO, failed=BOTH_DEAD, adapters=(down, WAN2)) == [[], []]


@pytest.mark.promise("BY-03")
@pytest.mark.parametrize(
    ("other", "harmless"),
    [
        ("::/0 via fe80::7 dev wan2 metric 30", False),
        ("::/0 via fe80::7 dev wan2 metric 10", False),
        ("::/0 via fe80::7 dev wan2 metric 5", True),
        ("0.0.0.0/0 via 203.0.113.1 dev wan2", True),
        ("2001:db8::/32 via fe80::7 dev wan2 metric 30", True),
    ],
)
def test_a_gateway_that_bystanders_have_another_for_is_not_asked(other: str, harmless: bool) -> None:
    """In IPv6, and until it has spoken itself."""
    dead = "fe80::a dev wan1"
    assert asked(TWO[0], other, failed=(dead,)) == [["fe80::a"], ["fe80::a"] if harmless else []]
    spoken = neighbours(dead)
    assert asked(TWO[0], other, failed=(dead,), stirring_gateways=spoken) == [["fe80::a"]] * 2
    out_of_order = replace(WAN2, carrier=False)
    assert asked(TWO[0], other, failed=(dead,), adapters=(WAN1, out_of_order)) == [["fe80::a"]] * 2


@pytest.mark.promise("BY-03", "DOWN-06")
def test_one_that_main_would_take_only_after_another_is_asked() -> None:
    """Though there is a third that comes after it; but who is bound to its adapter may not have another."""
    dead, first, third = (
        "fe80::a dev wan1",
        "::/0 via fe80::7 dev wan2 metric 5",
        "::/0 via fe80::8 dev {} metric 30",
    )
    assert asked(TWO[0], first, third.format("tun0"), failed=(dead,)) == [["fe80::a"]] * 2
    given = Route("wan1", gateway6=IPv6Address("fe80::a"))
    assert asked(TWO[0], first, third.format("wan1"), failed=(dead,), route=given) == [["fe80::a"], []]


@pytest.mark.promise("BY-03")
def test_a_given_gateway_is_not_asked_where_main_has_another_for_it() -> None:
    given = Route("wan1", gateway6=IPv6Address("fe80::a"))
    assert asked(*TWO, failed=("fe80::a dev wan1",), route=given) == [["fe80::a"], []]
    assert asked(TWO[1], failed=("fe80::a dev wan1",), route=given) == [["fe80::a"]] * 2


@pytest.mark.promise("IN-01", "IN-02")
def test_an_adapter_leads_out_by_main_or_by_a_route() -> None:
    by_wan2 = Route("wan2")

    def leads(adapter: Adapter, *main: str, route: Route = by_wan2, known: tuple[str, ...] = ()) -> bool:
        here = machine(*main, adapters=(adapter, WAN2))
        lives = [LiveRoute(route, 1, (), tuple(map(ip_address, known)))]
        return leads_out(here, adapter, Family.IPV4, lives)

    assert not leads(WAN1)
    assert not leads(WAN1, "0.0.0.0/0 via 203.0.113.1 dev wan2", "::/0 via fe80::1 dev wan1")
    assert leads(WAN1, "0.0.0.0/0 via 198.51.100.1 dev wan1")
    assert leads(WAN1, route=Route("wan1", gateway4=IPv4Address("198.51.100.9")))
    assert leads(WAN1, route=BY_WAN1, known=("198.51.100.1",))
    assert not leads(WAN1, known=("198.51.100.1",))
    assert leads(TUN0)
    assert leads(replace(WAN1, up=False))
    assert leads(replace(WAN1, carrier=False))
