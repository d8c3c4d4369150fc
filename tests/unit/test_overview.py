"""What `procroute adapters` makes of a machine."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from rich.text import Text

from procroute.cli import adapter_table
from procroute.core.overview import AdapterView, Servers, Way, adapters
from procroute.model import Family, LiveRoute, Route
from procroute.tunnels import Tunnel
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
    found = adapters(MACHINE, routes, {3: (Servers((ip_address("198.51.100.53"),), "systemd-networkd"),)})
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
    assert view("wan1").asked.learnt == "systemd-networkd"
    assert view("lan0", *routes).routes == ()


ADDRESS = "2001:db8:85a3:1234:8a2e:370:7334:abcd"


@pytest.mark.promise("LOOK-01")
@pytest.mark.parametrize("columns", [60, 80, 100])
def test_where_a_table_is_too_wide_it_is_a_list_with_whole_words(columns: int) -> None:
    altname = "a-name-that-is-longer-than-an-adapters-own"
    wlan = words.adapter("wlp0s20f3", 3, "198.51.100.2/24", f"{ADDRESS}/64", altnames=[altname])
    machine = words.machine(wlan, main=["0.0.0.0/0 via 198.51.100.1 dev wlp0s20f3"])
    servers = {3: (Servers((ip_address("2001:db8:1111:2222:3333:4444:5555:53"),), "systemd-resolved"),)}
    found = adapters(machine, [LiveRoute(Route("wlp0s20f3", strict=True), 1)], servers)
    text = Text.from_ansi(adapter_table.as_table(found, columns)).plain
    assert all(len(line) <= columns for line in text.splitlines())
    shown = ("wlp0s20f3", altname, "198.51.100.2", ADDRESS, "198.51.100.1 (main, boot)", "no IPv6 gateway")
    for word in (*shown, "2001:db8:1111:2222:3333:4444:5555:53", "(systemd-resolved)", "wlp0s20f3~strict"):
        assert word in text
    wide = Text.from_ansi(adapter_table.as_table(found, 250)).plain.splitlines()
    assert wide[0].split()[:3] == ["adapter", "type", "state"]


@pytest.mark.promise("LOOK-01")
def test_every_key_that_is_printed_is_in_the_page_and_every_one_there_is_printed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"adapters --json`\n\n```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (there,) = json.loads(example)["adapters"]
    (printed,) = json.loads(adapter_table.as_json([view("lan0")]))["adapters"]
    assert printed.keys() == there.keys()
    assert printed["addresses"][0].keys() == there["addresses"][0].keys()
    assert printed["dns"].keys() == there["dns"].keys()
    for name in ("wan1", "lan0"):
        (printed,) = json.loads(adapter_table.as_json([view(name)]))["adapters"]
        for way in printed["ways"].values():
            assert way.keys() == there["ways"]["ipv4" if way["usable"] else "ipv6"].keys()


@pytest.mark.promise("OVER-09")
def test_what_a_tunnel_is_over() -> None:
    tunnels = {"tun0": Tunnel("tun0", "lte"), "wg0": Tunnel("wg0", "lte")}
    found = adapters(MACHINE, (), {}, tunnels=tunnels)
    assert {v.adapter.name: v.over for v in found if v.over} == {"tun0": "lte"}
    told = json.loads(adapter_table.as_json(found))["adapters"]
    assert {a["name"]: a["over"] for a in told}["tun0"] == "lte"
    assert {a["name"]: a["over"] for a in told}["wan1"] is None
    for columns in (0, 60):
        assert "over lte" in adapter_table.as_table(found, columns)
