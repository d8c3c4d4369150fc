"""What NetworkManager's objects say of adapters."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from procroute.core.machine import Learnt, Machine
from procroute.core.overview import Servers
from procroute.engine import kept
from procroute.kernel import name_servers, network_manager
from procroute.kernel.network_manager import Known, told
from procroute.model import IPAddress, LiveRoute, Route
from tests.plans import words

NAME = "org.freedesktop.NetworkManager"


def device(**configs: str) -> dict[str, Any]:
    """An adapter wan1 with configurations at these paths."""
    return {f"{NAME}.Device": {"Interface": "wan1", **configs}}


def known(gateways: tuple[str, ...], servers: tuple[str, ...]) -> Known:
    """The same, as told."""
    learnt = (Learnt(ip_address(g), "NetworkManager") for g in gateways)
    return Known(tuple(learnt), tuple(map(ip_address, servers)))


def test_gateways_and_servers_of_both_families() -> None:
    objects = {
        "/d": device(Ip4Config="/4", Ip6Config="/6"),
        "/4": {
            f"{NAME}.IP4Config": {"Gateway": "198.51.100.1", "NameserverData": [{"address": "192.0.2.53"}]}
        },
        "/6": {
            f"{NAME}.IP6Config": {
                "Gateway": "fe80::1",
                "Nameservers": [socket.inet_pton(socket.AF_INET6, "2001:db8::53")],
            }
        },
    }
    expected = known(("198.51.100.1", "fe80::1"), ("192.0.2.53", "2001:db8::53"))
    assert told(objects) == {"wan1": expected}


def test_a_lease_has_what_the_configuration_has_not() -> None:
    lease = {"Options": {"routers": "198.51.100.1 198.51.100.9", "domain_name_servers": "192.0.2.53"}}
    objects = {
        "/d": device(Ip4Config="/4", Dhcp4Config="/dhcp"),
        "/4": {f"{NAME}.IP4Config": {"Gateway": "", "NameserverData": []}},
        "/dhcp": {f"{NAME}.DHCP4Config": lease},
    }
    assert told(objects) == {"wan1": known(("198.51.100.1", "198.51.100.9"), ("192.0.2.53",))}


@pytest.mark.parametrize("objects", [{}, {"/d": device(Ip4Config="/", Ip6Config="/gone")}, {"/d": {}}])
def test_nothing_is_nothing(objects: dict[str, Any]) -> None:
    assert told(objects) == {}


def test_where_there_is_none_it_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(network_manager, "_FOLDER", tmp_path / "none")
    monkeypatch.setattr(network_manager, "_ask", pytest.fail)
    assert network_manager.known() == {}


WAN1 = words.adapter("wan1", 2, "198.51.100.2/24")
Taken = Callable[..., tuple[tuple[IPAddress, ...], Servers, int]]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    """The gateways that a route by wan1 remembers, its servers, and how often NetworkManager was asked."""

    def take(here: Machine, own: Servers, says: Known) -> tuple[tuple[IPAddress, ...], Servers, int]:
        asked: list[int] = []

        def ask() -> dict[str, Known]:
            asked.append(1)
            return {"wan1": says}

        monkeypatch.setattr(name_servers, "_by_systemd", lambda adapter: iter([own]))
        monkeypatch.setattr(network_manager, "known", ask)
        network_manager.forget()
        live, servers = kept.taken_in(here, WAN1, LiveRoute(Route("wan1"), 1))
        return live.known, servers, len(asked)

    return take


SAYS = known(("198.51.100.1",), ("198.51.100.53",))
OWN = Servers((ip_address("198.51.100.54"),), "systemd-networkd")


@pytest.mark.promise("LOOK-12")
def test_it_is_asked_for_what_nobody_else_knows(taken: Taken) -> None:
    with_default = words.machine(WAN1, main=["0.0.0.0/0 via 198.51.100.9 dev wan1"])
    assert taken(with_default, OWN, SAYS) == ((), OWN, 0)
    of_it = Servers(SAYS.servers, "NetworkManager")
    assert taken(with_default, Servers(), SAYS) == ((), of_it, 1)
    gateways = (ip_address("198.51.100.1"),)
    assert taken(words.machine(WAN1), OWN, SAYS) == (gateways, OWN, 1)
    assert taken(words.machine(WAN1), Servers(), SAYS) == (gateways, of_it, 1)
    assert taken(words.machine(WAN1), Servers(), known(("192.0.2.1",), ())) == (
        (),
        Servers(),
        1,
    )
