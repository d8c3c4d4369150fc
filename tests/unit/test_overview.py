"""What `procroute adapters` makes of a machine."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from procroute.core.overview import AdapterView, Servers, Way, adapters
from procroute.model import Family, LiveRoute, Route
from tests.plans import words

MACHINE = words.machine(
    words.adapter("lo", 1, "127.0.0.1/8", loopback=True),
    words.adapter("lan0", 2, "192.168.1.2/24"),
    words.adapter("wan1", 3, "198.51.100.2/24", "2001:db8:1::2/64"),
    words.adapter("tun0", 4, "10.8.0.2/32", tunnel=True),
    words.adapter("gone", 5, up=False),
    main=["0.0.0.0/0 via 198.51.100.1 dev wan1", "::/0 via fe80::1 dev wan1"],
    failed_gateways=frozenset({(3, ip_address("fe80::1"))}),
)


def view(name: str, *routes: LiveRoute) -> AdapterView:
    """One adapter of the machine."""
    found = adapters(MACHINE, routes, {3: Servers((ip_address("198.51.100.53"),), "systemd-networkd")})
    return next(v for v in found if v.adapter.name == name)


@pytest.mark.promise("LOOK-01")
def test_ways_out_come_first_and_loopback_is_none() -> None:
    assert [v.adapter.name for v in adapters(MACHINE, (), {})] == ["wan1", "tun0", "lan0", "gone"]


@pytest.mark.promise("LOOK-01")
def test_where_a_gateway_was_learnt_and_whether_it_answers() -> None:
    assert view("wan1").ways == {
        Family.IPV4: Way(IPv4Address("198.51.100.1"), "main, boot"),
        Family.IPV6: Way(ip_address("fe80::1"), "main, boot", answers=False),
    }
    assert view("tun0").ways[Family.IPV4] == Way(None, "point-to-point")
    given = LiveRoute(Route("lan0", gateway4=IPv4Address("192.168.1.1")), 1)
    assert view("lan0", given).ways[Family.IPV4] == Way(IPv4Address("192.168.1.1"), "given")
    known = LiveRoute(Route("lan0"), 1, known=(ip_address("192.168.1.9"),))
    assert view("lan0", known).ways[Family.IPV4] == Way(IPv4Address("192.168.1.9"), "remembered")


@pytest.mark.promise("LOOK-01")
def test_why_there_is_no_way() -> None:
    assert view("lan0").ways == {
        Family.IPV4: Way(missing="no IPv4 gateway"),
        Family.IPV6: Way(missing="no IPv6 address"),
    }
    assert (view("gone").state, view("gone").ways[Family.IPV4]) == ("down", Way(missing="been set down"))


@pytest.mark.promise("LOOK-01")
def test_who_uses_it_and_its_name_servers() -> None:
    routes = (LiveRoute(Route("wan1", strict=True), 2), LiveRoute(Route("wan1"), 1))
    assert view("wan1", *routes).routes == ("wan1", "wan1~strict")
    assert view("wan1").servers.learnt == "systemd-networkd"
    assert view("lan0", *routes).routes == ()
