"""What of main stays reachable for a routed command, and what must not catch it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from procroute.core.lan import is_private, lan_entries, own_subnets
from procroute.core.machine import Machine
from procroute.model import Entry, Hop
from tests.plans import words
from tests.unit import strategies

WAN1 = words.adapter("wan1", 2, "198.51.100.2/24", "2001:db8:1::2/64", "fe80::1/64")
WAN2 = words.adapter("wan2", 3, "203.0.113.2/24", "2001:db8:2::2/64", "fe80::2/64")
TUN0 = words.adapter("tun0", 9, "10.8.0.2/24", "2001:db8:8::2/64", "100.64.0.2/16", tunnel=True)


def kept(own: str, *main: str) -> set[str]:
    """What a route by `own` keeps of these lines of main."""
    machine = words.machine(WAN1, WAN2, TUN0, main=main)
    said = {words.entry(line, {"wan1": 2, "wan2": 3, "tun0": 9}): line for line in main}
    return {said[e] for e in lan_entries(machine.main, machine.adapters, machine.adapter(own)) if e in said}


def by(entry: Entry, machine: Machine) -> set[str]:
    """The adapters that an entry leads to."""
    names = {a.ifindex: a.name for a in machine.adapters}
    return {names[h.ifindex] for h in entry.hops}


@pytest.mark.promise("LAN-02", "LAN-03", "LEAK-04")
@settings(max_examples=40)
@given(strategies.machines(), st.sampled_from(["", *strategies.ADAPTERS]))
def test_no_global_prefix_by_another_tunnel(machine: Machine, own: str) -> None:
    tunnels = {a.name for a in machine.adapters if a.tunnel} - {own}
    for entry in lan_entries(machine.main, machine.adapters, machine.adapter(own)):
        assert entry.destination.prefixlen > 0
        assert is_private(entry.destination) or not by(entry, machine) & tunnels


@settings(max_examples=40)
@given(strategies.machines(), st.sampled_from(strategies.ADAPTERS))
def test_what_is_kept_stands_in_main_or_is_part_of_it(machine: Machine, own: str) -> None:
    destinations = {e.destination for e in machine.main}
    kept_entries = lan_entries(machine.main, machine.adapters, machine.adapter(own))
    assert {e.destination for e in kept_entries} <= destinations
    up = {a.ifindex for a in machine.adapters if a.up}
    assert all(h.ifindex in up for e in kept_entries for h in e.hops)


@pytest.mark.promise("LAN-06")
@settings(max_examples=40)
@given(strategies.machines(), st.sampled_from(strategies.ADAPTERS))
def test_strict_keeps_the_adapters_own_subnets_only(machine: Machine, own: str) -> None:
    adapter = machine.adapter(own)
    if adapter is None:
        return
    networks = {a.interface.network for a in adapter.addresses}
    for entry in own_subnets(machine.main, adapter):
        assert by(entry, machine) == {own}
        assert entry.destination in networks
        assert all(h.gateway is None for h in entry.hops)


@pytest.mark.promise("LAN-01")
@pytest.mark.parametrize(
    "line",
    [
        "10.0.0.0/8 via 203.0.113.1 dev wan2",
        "172.16.0.0/12 via 203.0.113.1 dev wan2",
        "192.168.7.0/24 dev tun0",
        "169.254.0.0/16 dev wan2",
        "fd00::/8 via fe80::9 dev tun0",
        "unreachable 10.0.0.0/8",
        "blackhole fd00::/8",
    ],
)
def test_private_prefixes_are_kept_by_whatever_they_go(line: str) -> None:
    assert kept("wan1", line) == {line}


@pytest.mark.promise("LAN-02", "LAN-03")
@pytest.mark.parametrize(
    "line",
    [
        "0.0.0.0/1 via 10.8.0.1 dev tun0",
        "128.0.0.0/1 via 10.8.0.1 dev tun0",
        "::/3 dev tun0",
        "2000::/3 dev tun0",
        "8.0.0.0/7 dev tun0",
        "100.64.0.0/10 dev tun0",
        "0.0.0.0/0 via 203.0.113.1 dev wan2",
        "192.0.2.0/24 via 203.0.113.1 dev wan2",
        "2001:db8:8::/64 dev tun0",
        "unreachable 192.0.2.0/24",
        "8.0.0.0/5 nexthop via 10.8.0.1 dev tun0 nexthop via 198.51.100.1 dev wan1",
        "9.0.0.0/8 dev tun0",
        "10.0.0.0/7 dev tun0",
        "fc00::/6 dev tun0",
    ],
)
def test_global_prefixes_by_others_are_not(line: str) -> None:
    assert kept("wan1", line) == set()


@pytest.mark.promise("LAN-01")
def test_what_main_sends_by_the_adapter_itself_is_kept() -> None:
    lines = ("0.0.0.0/1 via 10.8.0.1 dev tun0", "192.0.2.0/24 dev tun0")
    assert kept("tun0", *lines) == set(lines)
    assert kept("", *lines) == set()


@pytest.mark.promise("LAN-01")
def test_global_subnets_of_other_adapters_are_kept_unless_they_are_tunnels() -> None:
    machine = words.machine(WAN1, WAN2, TUN0)
    found = {str(e.destination) for e in lan_entries(machine.main, machine.adapters, WAN1)}
    assert {"203.0.113.0/24", "2001:db8:2::/64", "198.51.100.0/24", "10.8.0.0/24"} <= found
    assert not {"2001:db8:8::/64", "100.64.0.0/16"} & found


def test_dead_hops_are_left_out() -> None:
    down = words.adapter("wan2", 3, "203.0.113.2/24", up=False)
    names = {"wan1": 2, "wan2": 3}
    line = "10.1.0.0/16 nexthop via 198.51.100.9 dev wan1 nexthop via 203.0.113.9 dev wan2"
    gone = "10.2.0.0/16 via 203.0.113.9 dev wan2"
    machine = words.machine(WAN1, down, main=[line, gone])
    found = [e for e in lan_entries(machine.main, machine.adapters, WAN1) if e.destination.prefixlen == 16]
    assert found == [words.entry("10.1.0.0/16 via 198.51.100.9 dev wan1", names)]


@pytest.mark.promise("LAN-01")
def test_what_routers_say_of_one_prefix_is_one_entry() -> None:
    """In IPv6, by those that are preferred; as the kernel would have it in our tables."""
    gateways = [Hop(4, ip_address(f"fe80::{n}")) for n in "abc"]
    entries = [Entry(254, ip_network("fd07::/48"), (hop,), metric=1024) for hop in gateways]
    assert lan_entries(entries, (), None) == [replace(entries[0], hops=tuple(gateways))]
    ranked = [replace(e, preference=p) for e, p in zip(entries, (0, 1, 1), strict=True)]
    assert lan_entries(ranked, (), None) == [replace(ranked[1], hops=tuple(gateways[1:]))]
    apart = [replace(entries[0], metric=7), entries[1], replace(entries[2], hops=(Hop(4),))]
    assert lan_entries(apart, (), None) == apart
