"""The route rules that tunnels over a route mean, and what cannot take one."""

from __future__ import annotations

import pytest

from procroute.core.outer import is_label, label, unfit, with_tunnels
from procroute.model import Adapter
from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import Conditions, Rulebook, Via
from procroute.tunnels import Tunnel

FILE = "/etc/procroute/config.toml"


@pytest.mark.promise("OVER-04")
def test_they_come_first_and_end_what_is_open() -> None:
    book = read_text('[[rule]]\nname = "openvpn"\nvia = "wan2"\n', "f")
    tunnels = [
        Tunnel("tun0", "lte", ("openvpn@x",), (), FILE, 2),
        Tunnel("tun1", "a,b", (), ("/usr/bin/wireguard-go",), FILE, 5),
        Tunnel("wg0", "lte", file=FILE, line=8),
    ]
    first, second, third = with_tunnels(book, tunnels).rules
    assert third == book.rules[0]
    assert (first.place, first.conditions) == (f"{FILE}:2", Conditions(unit=("openvpn@x.service",)))
    assert (second.place, second.conditions) == (f"{FILE}:5", Conditions(exe=("/usr/bin/wireguard-go",)))
    assert [rule.via for rule in (first, second)] == [Via("lte"), Via("a,b")]
    assert {rule.existing for rule in (first, second)} == {"reset"}
    assert first.comment == "the outer packets of tun0"


@pytest.mark.promise("OVER-01")
def test_what_no_rule_can_say_is_told() -> None:
    found = with_tunnels(Rulebook(), [Tunnel("tun0", "lte", (), ("/opt/./vpn",), FILE, 3)])
    assert not found.rules
    assert not found.errors
    (told,) = found.findings
    assert (told.place, told.message) == (f"{FILE}:3", "over_exe must be a path without . and ..: /opt/./vpn")


@pytest.mark.promise("OVER-02")
def test_what_cannot_be_over_a_route() -> None:
    tun, wan = Adapter("tun0", 9, kind="tun"), Adapter("wan1", 2, kind="veth")
    wireguard = Adapter("wg0", 10, kind="wireguard")
    assert not unfit(tun, [wan], "wan1")
    assert not unfit(wireguard, [wan, tun], "lines")
    assert unfit(tun, [wan, tun], "lines") == "tun0 over lines: that is tun0 itself"
    assert unfit(wan, [tun], "tun0") == "wan1 is veth: over is for tun devices and WireGuard"
    assert unfit(Adapter("x", 3), [wan], "wan1") == "x is no tunnel: over is for tun devices and WireGuard"


@pytest.mark.promise("OVER-05")
def test_labels_are_known_again() -> None:
    assert is_label(label("tun0"))
    assert not is_label("/etc/procroute/rules.d/50-x.toml:1")
