"""A name server small enough to read: every question has an answer that tells which router gave it.

    A     192.0.2.80          who.procroute.test  10.99.0.N   (N: the router's number)
    AAAA  2001:db8:ffff::80   who.procroute.test  fd99::N
    TXT   "router=wan1 client=198.51.100.2"

Any other type has an empty answer. TTL is 0. Source of the wire format: RFC 1035 sections 4.1 and 4.2.2.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

WHO: Final = "who.procroute.test"
_TYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    65: "HTTPS",
}
_FLAGS: Final = 0x8580  # response, authoritative, recursion desired and available


@dataclass(frozen=True, slots=True)
class Question:
    """The first question of a DNS message. wire: its bytes, to be repeated in the reply."""

    identity: int
    name: str
    type: str
    wire: bytes


def question(message: bytes) -> Question | None:
    """What `message` asks; None if it is no DNS question."""
    if len(message) < 12:
        return None
    identity, flags, questions = struct.unpack_from("!HHH", message)
    if flags & 0x8000 or questions != 1:
        return None
    labels: list[str] = []
    at = 12
    while at < len(message) and (size := message[at]):
        labels.append(message[at + 1 : at + 1 + size].decode("latin-1"))
        at += 1 + size
    if at + 5 > len(message):
        return None
    (number,) = struct.unpack_from("!H", message, at + 1)
    return Question(identity, ".".join(labels).lower(), _TYPES.get(number, str(number)), message[12 : at + 5])


def reply(asked: Question, router: str, number: int, client: str) -> bytes:
    """The whole DNS message that answers `asked`."""
    data = b""
    if asked.type == "A":
        data = socket.inet_aton(f"10.99.0.{number}" if asked.name == WHO else "192.0.2.80")
    elif asked.type == "AAAA":
        data = socket.inet_pton(
            socket.AF_INET6, f"fd99::{number}" if asked.name == WHO else "2001:db8:ffff::80"
        )
    elif asked.type == "TXT":
        text = f"router={router} client={client}".encode()
        data = bytes([len(text)]) + text
    head = struct.pack("!HHHHHH", asked.identity, _FLAGS, 1, 1 if data else 0, 0, 0)
    if not data:
        return head + asked.wire
    # 0xC00C points back at the name in the question
    return head + asked.wire + b"\xc0\x0c" + asked.wire[-4:] + struct.pack("!IH", 0, len(data)) + data
