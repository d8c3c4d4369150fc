"""A door's LAN as ranges says of every address what the longest prefix says."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.core.lan_ranges import ranges
from procroute.model import IPNetwork

# All within one /24, so that every address can be asked for.
_prefixes = st.integers(24, 32).flatmap(
    lambda length: st.integers(0, 255).map(
        lambda last: ip_network((0x0A00_0000 | last, length), strict=False)
    )
)
_lans = st.frozensets(st.tuples(_prefixes, st.integers(0, 3)), max_size=12)


def by_longest(lan: frozenset[tuple[IPNetwork, int]], address: IPv4Address) -> set[int]:
    """The adapters that the longest prefix of an address allows."""
    covering = [(prefix, ifindex) for prefix, ifindex in lan if address in prefix]
    longest = max((prefix.prefixlen for prefix, _ in covering), default=-1)
    return {ifindex for prefix, ifindex in covering if prefix.prefixlen == longest}


@pytest.mark.promise("NOBPF-02")
@given(_lans)
def test_each_address_has_the_adapters_of_its_longest_prefix(lan: frozenset[tuple[IPNetwork, int]]) -> None:
    found = ranges(lan, 4)
    for last in range(256):
        address = IPv4Address(0x0A00_0000 | last)
        allowed = {
            ifindex
            for ifindex, pieces in found.items()
            if any(int(first) <= int(address) <= int(end) for first, end in pieces)
        }
        assert allowed == by_longest(lan, address)


@given(_lans)
def test_ranges_of_one_adapter_are_in_order_and_apart(lan: frozenset[tuple[IPNetwork, int]]) -> None:
    for pieces in ranges(lan, 4).values():
        for (_, end), (first, _) in pairwise(pieces):
            assert int(end) + 1 < int(first)


def test_families_are_apart() -> None:
    both: set[tuple[IPNetwork, int]] = {(IPv4Network("10.0.0.0/8"), 2), (IPv6Network("fd00::/8"), 3)}
    lan = frozenset(both)
    assert ranges(lan, 4).keys() == {2}
    assert ranges(lan, 6).keys() == {3}
    assert ranges(frozenset(), 4) == {}
