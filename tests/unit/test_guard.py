"""The guard's verdict in words is that of guard.bpf.c, whose captures are compared in tests/netns."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from procroute.core.door import Door
from procroute.core.guard import lan_prefix, verdict

promise = pytest.mark.promise
OWN, OTHER, LAN = 2, 3, 4
DOOR = Door(
    adapters=frozenset({OWN}),
    lan=frozenset(
        {
            (ip_network("192.168.1.0/24"), LAN),
            (ip_network("192.168.1.7/32"), OTHER),
            (ip_network("10.0.0.0/8"), 0),
            (ip_network("fd00:1::/64"), LAN),
            (ip_network("fd00:1::/64"), OTHER),
        }
    ),
    addresses=frozenset(
        {
            (ip_address("198.51.100.2"), OWN),
            (ip_address("203.0.113.2"), OTHER),
            (ip_address("fd00:1::2"), LAN),
        }
    ),
)


@promise("EXPLAIN-02")
@pytest.mark.parametrize(
    ("ifindex", "source", "destination", "usual", "strict"),
    [
        (1, "127.0.0.1", "127.0.0.1", True, True),
        (OWN, "198.51.100.2", "192.0.2.1", True, True),
        (OWN, "203.0.113.2", "192.0.2.1", False, False),
        (OWN, "192.0.2.99", "192.0.2.1", False, False),
        (OWN, "0.0.0.0", "255.255.255.255", True, True),
        (OWN, "fe80::2", "2001:db8::1", True, True),
        (OTHER, "198.51.100.2", "192.0.2.1", False, False),
        (OTHER, "203.0.113.2", "224.0.0.251", True, False),
        (OTHER, "203.0.113.2", "255.255.255.255", True, False),
        (OTHER, "203.0.113.2", "169.254.1.1", True, False),
        (OTHER, "fe80::2", "fe80::1", True, False),
        (OTHER, "fe80::2", "ff02::fb", True, False),
        (LAN, "198.51.100.2", "192.168.1.9", True, False),
        (OTHER, "198.51.100.2", "192.168.1.9", False, False),
        (OTHER, "198.51.100.2", "192.168.1.7", True, False),
        (LAN, "198.51.100.2", "192.168.1.7", False, False),
        (OTHER, "198.51.100.2", "10.1.2.3", True, False),
        (OTHER, "fd00:1::2", "fd00:1::9", True, False),
        (LAN, "fd00:1::2", "fd00:1::9", True, False),
        (LAN, "fd00:1::2", "fd00:2::9", False, False),
    ],
)
def test_verdicts(ifindex: int, source: str, destination: str, usual: bool, strict: bool) -> None:
    for said, is_strict in ((usual, False), (strict, True)):
        found = verdict(
            DOOR,
            strict=is_strict,
            ifindex=ifindex,
            source=ip_address(source),
            destination=ip_address(destination),
        )
        assert found.passes is said, (found, is_strict)
        assert found.why


@promise("EXPLAIN-02")
def test_the_longest_prefix_decides() -> None:
    assert lan_prefix(DOOR, ip_address("192.168.1.7")) == (ip_network("192.168.1.7/32"), frozenset({OTHER}))
    assert lan_prefix(DOOR, ip_address("fd00:1::7")) == (ip_network("fd00:1::/64"), frozenset({LAN, OTHER}))
    assert lan_prefix(DOOR, ip_address("192.0.2.1")) is None
