"""IP packets as the capture sees them: parsed once, then only compared.

Sources: RFC 791 (IPv4), RFC 8200 (IPv6 and its extension headers), RFC 9293 (TCP flags).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

ICMP: Final = 1
IGMP: Final = 2
TCP: Final = 6
UDP: Final = 17
ICMP6: Final = 58

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10
_PORT_UNREACHABLE: Final = {(ICMP, 3, 3), (ICMP6, 1, 4)}
_IP_HEADER: Final = {4: 20, 6: 40}
_LONGEST_TCP_HEADER: Final = 60

_EXTENSIONS: Final = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options
_FRAGMENT: Final = 44


@dataclass(frozen=True, slots=True)
class Packet:
    """One IP packet that came in on a router's end of an uplink.

    family: 4 or 6; protocol: the number of the last header. Ports are 0 where the protocol has none; for ICMP
    source_port is the type and destination_port the code. tcp_flags: the low 8 flag bits, 0 for others.
    """

    uplink: str
    family: int
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    tcp_flags: int
    length: int

    @property
    def control(self) -> bool:
        """Whether the kernel sends such packets for itself: neighbour discovery, MLD, IGMP."""
        if self.protocol == IGMP:
            return True
        return self.protocol == ICMP6 and 130 <= self.source_port <= 143

    @property
    def opens(self) -> bool:
        """Whether this is the first SYN of a TCP connection."""
        return self.protocol == TCP and self.tcp_flags & (SYN | ACK) == SYN

    @property
    def of_the_closed(self) -> bool:
        """Whether the kernel may have sent this by itself, for a socket that has gone.

        Bare headers of TCP: a reset, or the last acknowledgement (RFC 9293, 3.6, TIME-WAIT); or that nobody
        listens at a UDP port (RFC 792 and 4443, port unreachable). What the socket was tied to, an adapter
        for instance, does not hold for these.
        """
        if (self.protocol, self.source_port, self.destination_port) in _PORT_UNREACHABLE:
            return True
        bare = self.length <= _IP_HEADER[self.family] + _LONGEST_TCP_HEADER
        return self.protocol == TCP and bare and (bool(self.tcp_flags & RST) or self.tcp_flags == ACK)


def parse(uplink: str, data: bytes) -> Packet | None:
    """The packet in `data`, which begins at the IP header; None if it is no IP or cut off."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        protocol, start = data[9], (data[0] & 15) * 4
        source, destination = (
            socket.inet_ntop(socket.AF_INET, data[12:16]),
            socket.inet_ntop(socket.AF_INET, data[16:20]),
        )
        length = int.from_bytes(data[2:4], "big")
        if int.from_bytes(data[6:8], "big") & 0x1FFF:  # a later fragment carries no ports
            start = len(data)
    elif version == 6 and len(data) >= 40:
        protocol, start = _last_header(data)
        source, destination = (
            socket.inet_ntop(socket.AF_INET6, data[8:24]),
            socket.inet_ntop(socket.AF_INET6, data[24:40]),
        )
        length = int.from_bytes(data[4:6], "big") + 40
    else:
        return None
    rest = data[start:]
    ports = (0, 0)
    if protocol in (TCP, UDP) and len(rest) >= 4:
        ports = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
    elif protocol in (ICMP, ICMP6) and len(rest) >= 2:
        ports = rest[0], rest[1]
    flags = rest[13] if protocol == TCP and len(rest) >= 14 else 0
    return Packet(uplink, version, source, destination, protocol, *ports, flags, length)


def _last_header(data: bytes) -> tuple[int, int]:
    """Protocol and offset of what follows IPv6's extension headers."""
    protocol, start = data[6], 40
    while protocol in _EXTENSIONS and len(data) >= start + 8:
        protocol, start = data[start], start + (data[start + 1] + 1) * 8
    if protocol == _FRAGMENT and len(data) >= start + 8:
        later = int.from_bytes(data[start + 2 : start + 4], "big") & 0xFFF8
        protocol, start = data[start], len(data) if later else start + 8
    return protocol, start
