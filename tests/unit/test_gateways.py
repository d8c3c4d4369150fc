"""Where an adapter's default leads."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from procroute.core.desired import remembered
from procroute.core.gateways import WayOut, default_entry, gateways_of, known_gateways, way_out
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
    assert known_gateways(here, Route("wan1")) == (ip_address("198.51.100.1"),)


def test_each_family_is_remembered_on_its_own() -> None:
    live = LiveRoute(Route("wan1"), 1, (), (ip_address("198.51.100.9"), ip_address("2001:db8:1::9")))
    here = machine("0.0.0.0/0 via 198.51.100.1 dev wan1")
    assert remembered(here, live).known == (ip_address("198.51.100.1"), ip_address("2001:db8:1::9"))
