"""Machines as they are and routes as they are asked for, for hypothesis."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from hypothesis import strategies as st

from procroute.core.machine import Machine
from procroute.model import Adapter, LiveRoute, Route
from tests.plans import words

# name -> (ifindex, tunnel, addresses, gateways)
KINDS: dict[str, tuple[int, bool, tuple[str, ...], tuple[str, ...]]] = {
    "wan1": (
        2,
        False,
        ("198.51.100.2/24", "2001:db8:1::2/64", "fe80::1/64"),
        ("198.51.100.1", "2001:db8:1::1"),
    ),
    "wan2": (3, False, ("203.0.113.2/24", "2001:db8:2::2/64", "fe80::2/64"), ("203.0.113.1", "fe80::ff")),
    "lan": (4, False, ("192.168.1.2/24", "fd00:1::2/64"), ("192.168.1.1", "fd00:1::1")),
    "tun0": (9, True, ("10.8.0.2/32", "fd08::2/128"), ()),
}
ADAPTERS = sorted(KINDS)
_PRIVATE = ("10.1.0.0/16", "172.16.0.0/12", "fd10::/16", "100.64.0.0/10", "192.0.2.0/24", "2001:db8:9::/48")
_VPN = ("0.0.0.0/1", "128.0.0.0/1", "::/3", "2000::/3", "8.0.0.0/7", "10.66.0.0/16", "fc00::/7")
_FOREIGN = ("1: from all lookup 100", "300: from 10.8.0.2/32 lookup 101", "5270: from all lookup 52")
_SERVERS = ("192.168.1.53", "192.0.2.53", "198.51.100.53", "fd00:1::53", "2001:db8:53::1", "127.0.0.53")


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """A machine on which everything in main is possible in the kernel: nothing leads by what is down."""
    adapters = [words.adapter("lo", 1, "127.0.0.1/8", "::1/128", loopback=True)]
    adapters += (draw(_adapter(name)) for name in ADAPTERS if draw(st.integers(0, 5)))
    main = [line for a in adapters for line in draw(_entries(a))]
    main += draw(st.lists(st.sampled_from(["unreachable 10.2.0.0/16", "blackhole fd11::/16"]), unique=True))
    neighbours = [(a.ifindex, ip_address(g)) for a in adapters[1:] for g in KINDS[a.name][3]]
    states = draw(st.lists(st.sampled_from(["", "", "failed", "probing"]), min_size=8, max_size=8))
    told = dict(zip(neighbours, states, strict=False))
    return words.machine(
        *adapters,
        main=main,
        rules=draw(st.lists(st.sampled_from(_FOREIGN), unique=True, max_size=2)),
        failed_gateways=frozenset(n for n, state in told.items() if state == "failed"),
        probing_gateways=frozenset(n for n, state in told.items() if state == "probing"),
        rp_filter={a.name: draw(st.integers(0, 2)) for a in adapters},
        checks_reverse_path=draw(st.booleans()),
        resolvers=tuple(draw(addresses)),
        ipv6=True,
        names_tables=draw(st.booleans()),
    )


addresses = st.lists(st.sampled_from([ip_address(s) for s in _SERVERS]), max_size=3, unique=True)


@st.composite
def _adapter(draw: st.DrawFn, name: str) -> Adapter:
    ifindex, tunnel, has, _ = KINDS[name]
    up = bool(draw(st.integers(0, 4)))
    kept = [a for a in has if draw(st.integers(0, 4)) and (up or "." in a)]
    carrier = up and bool(draw(st.integers(0, 4)))
    return words.adapter(name, ifindex, *kept, up=up, carrier=carrier, tunnel=tunnel)


@st.composite
def _entries(draw: st.DrawFn, adapter: Adapter) -> list[str]:
    """What main sends by an adapter, in ip-route(8)'s words."""
    if adapter.loopback or not adapter.up:
        return []
    versions = {a.interface.version for a in adapter.addresses}
    gateways = [g for g in KINDS[adapter.name][3] if ip_address(g).version in versions]
    by = f"dev {adapter.name} metric {100 + adapter.ifindex}"
    found = []
    for version, default in ((4, "0.0.0.0/0"), (6, "::/0")):
        via = next((f"via {g} " for g in gateways if ip_address(g).version == version), "")
        if version not in versions or not (via or adapter.tunnel):
            continue
        if draw(st.booleans()):
            found.append(f"{default} {via}{by} {draw(st.sampled_from(['', 'mtu 1400']))}")
        there = [p for p in (_VPN if adapter.tunnel else _PRIVATE) if (":" in p) == (version == 6)]
        found += (f"{p} {via}{by}" for p in draw(st.lists(st.sampled_from(there), unique=True, max_size=3)))
    return found


@st.composite
def routes(draw: st.DrawFn) -> tuple[LiveRoute, ...]:
    """Routes that are wanted at the same time: distinct in what they are and in their numbers."""
    found = draw(st.lists(_routes, max_size=5, unique_by=lambda r: r.name))
    numbers = draw(st.lists(st.integers(1, 127), min_size=5, max_size=5, unique=True))
    asked = [tuple(route.dns or draw(addresses)) for route in found]
    return tuple(
        LiveRoute(route, number, servers, no_lookups=not servers and draw(st.booleans()))
        for route, number, servers in zip(found, numbers, asked, strict=False)
    )


_given: dict[str, st.SearchStrategy[Any]] = {
    "gateway4": st.none() | st.just(IPv4Address("198.51.100.9")),
    "gateway6": st.none() | st.just(IPv6Address("fe80::99")),
    "dns": st.none() | addresses.map(tuple),
}
_routes = st.builds(Route, adapter=st.sampled_from(ADAPTERS), strict=st.booleans(), **_given)
