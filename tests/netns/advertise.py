"""A router that advertises itself from a lab's node (RFC 4861, 4.2)."""

from __future__ import annotations

import sys
from typing import Final

from procroute.lab import Uplink

# The lifetime is in seconds; the preference and the option for a /48 are of RFC 4191, 2.2 and 2.3.
_PROGRAM: Final = """
import socket, struct, sys
router, lifetime, preference, prefix = sys.argv[1:]
sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
index = socket.if_nametoindex("up0")
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
sock.bind((router, 0, 0, index))
bits = {"low": 0x18, "medium": 0, "high": 0x08}[preference]
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, bits if int(lifetime) else 0, int(lifetime), 0, 0)
if prefix:
    message += struct.pack("!BBBBI", 24, 2, 48, bits, 1800)
    message += socket.inet_pton(socket.AF_INET6, prefix)[:8]
sock.sendto(message, ("ff02::1", 0, 0, index))
"""


def advertise(
    uplink: Uplink, router: str, lifetime: int = 1800, preference: str = "medium", prefix: str = ""
) -> None:
    """Send one advertisement from a link-local address that the node has; lifetime 0: it is none any more."""
    words = [sys.executable, "-c", _PROGRAM, router, str(lifetime), preference, prefix]
    uplink.run(words, check=True)
