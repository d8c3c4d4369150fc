"""What the capture takes for the kernel's own words for a socket that has gone."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from procroute.lab import ICMP, ICMP6
from procroute.lab.packet import ACK, FIN, RST, SYN, TCP, UDP, parse

_FROM = {4: "192.0.2.1", 6: "2001:db8::1"}
families = pytest.mark.parametrize("family", [4, 6])


def packet(family: int, protocol: int, payload: bytes) -> bytes:
    """An IP packet with no options."""
    ends = ip_address(_FROM[family]).packed * 2
    if family == 4:
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends + payload
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def tcp(flags: int, data: bytes = b"") -> bytes:
    """A segment from port 1 to port 2."""
    return struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 5 << 4, flags, 0, 0, 0) + data


def is_of_the_closed(family: int, protocol: int, payload: bytes) -> bool:
    """As the capture says."""
    found = parse("wan1", packet(family, protocol, payload))
    assert found is not None
    return found.of_the_closed


@families
def test_bare_headers_of_tcp(family: int) -> None:
    for flags in (RST, RST | ACK, ACK):
        assert is_of_the_closed(family, TCP, tcp(flags))
    for flags in (SYN, SYN | ACK, FIN | ACK):
        assert not is_of_the_closed(family, TCP, tcp(flags))
    assert not is_of_the_closed(family, TCP, tcp(ACK, b"x" * 60))


@families
def test_nobody_listens_at_a_udp_port(family: int) -> None:
    icmp, port, other, echo = (
        (ICMP, (3, 3), (3, 1), (8, 0)) if family == 4 else (ICMP6, (1, 4), (1, 3), (128, 0))
    )
    assert is_of_the_closed(family, icmp, bytes((*port, 0, 0)) + b"what it was" * 5)
    assert not is_of_the_closed(family, icmp, bytes((*other, 0, 0)))
    assert not is_of_the_closed(family, icmp, bytes((*echo, 0, 0)))
    assert not is_of_the_closed(family, UDP, struct.pack("!HHHH", *port, 8, 0))
