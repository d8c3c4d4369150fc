"""What DHCP leases say of gateways, and when that is believed."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from procroute.core.gateways import NoWay, WayOut, gateways_of, way_out
from procroute.core.machine import Learnt, Machine
from procroute.core.overview import adapters
from procroute.kernel import leases
from procroute.model import Family, LiveRoute, Route
from tests.plans import words

ROUTER, OUTSIDE, OWN = map(IPv4Address, ("198.51.100.1", "192.0.2.1", "198.51.100.2"))


def told(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Mapping[int, tuple[Learnt, ...]]:
    """What a lease of ifindex 2 with this text says."""
    monkeypatch.setattr(leases, "FOLDER", folder)
    (folder / "2").write_text(text)
    return leases.gateways([1, 2, 3])


def test_the_routers_of_a_lease(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "# This is private data.\nADDRESS=198.51.100.2\nROUTER=198.51.100.1 198.51.100.9\nDNS=192.0.2.53\n"
    expected = tuple(Learnt(IPv4Address(f"198.51.100.{n}"), "networkd lease", OWN) for n in (1, 9))
    assert told(monkeypatch, tmp_path, text) == {2: expected}


@pytest.mark.parametrize("text", ["", "ROUTER=\n", "ROUTER=0.0.0.0\n", "ROUTER=what\n\0", "ROUTER", "=\n="])
def test_no_router_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    assert told(monkeypatch, tmp_path, text) == {}


def machine(*main: str, learnt: tuple[Learnt, ...], **settings: Any) -> Machine:
    """A machine for whose wan1 something was learnt."""
    wan1 = words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64")
    return words.machine(wan1, main=main, learnt={2: learnt}, **settings)


def way(here: Machine, live: LiveRoute | None = None, family: Family = Family.IPV4) -> WayOut | NoWay:
    """How a family leaves by wan1."""
    return way_out(here, here.adapters[0], family, live)


LEASED = Learnt(ROUTER, "networkd lease", OWN)


@pytest.mark.promise("LOOK-10")
def test_what_is_trusted_more_comes_first() -> None:
    here = machine(learnt=(LEASED,))
    assert way(here) == WayOut(ROUTER, keeper="networkd lease")
    given = LiveRoute(Route("wan1", gateway4=IPv4Address("198.51.100.7")), 1)
    assert way(here, given) == WayOut(ip_address("198.51.100.7"))
    remembering = LiveRoute(Route("wan1"), 1, known=(ip_address("198.51.100.8"),))
    assert way(here, remembering) == WayOut(ROUTER, keeper="networkd lease")
    in_main = way(machine("0.0.0.0/0 via 198.51.100.9 dev wan1", learnt=(LEASED,)))
    assert isinstance(in_main, WayOut)
    assert (in_main.gateway, in_main.keeper) == (ip_address("198.51.100.9"), "")
    assert isinstance(way(here, family=Family.IPV6), NoWay)


@pytest.mark.promise("LOOK-10")
def test_a_gateway_must_fit_the_adapter() -> None:
    assert isinstance(way(machine(learnt=(Learnt(OUTSIDE, "NetworkManager"),))), NoWay)
    assert isinstance(
        way(machine(learnt=(Learnt(OUTSIDE, "networkd lease", IPv4Address("192.0.2.9")),))), NoWay
    )
    assert way(machine(learnt=(Learnt(OUTSIDE, "networkd lease", OWN),))) == WayOut(
        OUTSIDE, keeper="networkd lease"
    )
    assert isinstance(way(machine(learnt=(Learnt(OWN, "networkd lease", OWN),))), NoWay)


@pytest.mark.promise("LOOK-10")
def test_one_that_answers_takes_the_place_of_one_that_does_not() -> None:
    both = (LEASED, Learnt(IPv4Address("198.51.100.9"), "NetworkManager"))
    here = machine(learnt=both, failed_gateways=frozenset({(2, ROUTER)}))
    assert way(here) == WayOut(both[1].gateway, keeper="NetworkManager")
    assert {(2, found.gateway) for found in both} <= gateways_of(here, [LiveRoute(Route("wan1"), 1)])


@pytest.mark.promise("LOOK-10")
def test_people_are_told_where_it_was_learnt() -> None:
    (view,) = adapters(machine(learnt=(LEASED,)), (), {})
    assert view.ways[Family.IPV4].learnt == "networkd lease"
