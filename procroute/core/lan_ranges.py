"""A door's LAN as ranges of addresses: nft's sets have no longest match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from procroute.model import IPAddress, IPNetwork


@lru_cache(1024)  # a route's chains and sets ask for it in turn
def ranges(
    lan: frozenset[tuple[IPNetwork, int]], version: int
) -> Mapping[int, list[tuple[IPAddress, IPAddress]]]:
    """A door's LAN as ranges that do not overlap: ifindex (0: any) -> first and last addresses, in order.

    The longest prefix decides: where a host goes by another adapter than its subnet, the subnet's ranges
    leave it out.
    """
    by_prefix: dict[IPNetwork, set[int]] = {}
    for prefix, ifindex in lan:
        if prefix.version == version:
            by_prefix.setdefault(prefix, set()).add(ifindex)
    address = IPv4Address if version == 4 else IPv6Address
    found: dict[int, list[tuple[IPAddress, IPAddress]]] = {}
    for first, last, owner in _pieces(sorted(by_prefix, key=lambda p: (int(p.network_address), p.prefixlen))):
        for ifindex in by_prefix[owner]:
            pieces = found.setdefault(ifindex, [])
            if pieces and int(pieces[-1][1]) + 1 == first:
                pieces[-1] = (pieces[-1][0], address(last))
            else:
                pieces.append((address(first), address(last)))
    return dict(sorted(found.items()))


def _pieces(prefixes: list[IPNetwork]) -> Iterable[tuple[int, int, IPNetwork]]:
    """Ranges in order, each with the longest of the prefixes that cover it. prefixes: outer before inner."""
    around: list[IPNetwork] = []
    at = 0
    for prefix in prefixes:
        begin = int(prefix.network_address)
        while around and int(around[-1].broadcast_address) < begin:
            done = around.pop()
            if at <= int(done.broadcast_address):
                yield at, int(done.broadcast_address), done
                at = int(done.broadcast_address) + 1
        if around and at < begin:
            yield at, begin - 1, around[-1]
        around.append(prefix)
        at = begin
    while around:
        done = around.pop()
        if at <= int(done.broadcast_address):
            yield at, int(done.broadcast_address), done
            at = int(done.broadcast_address) + 1
