"""What health checks send, and what is an answer to it.

Sources: RFC 792 and RFC 4443 (echo), RFC 1035 (DNS), RFC 9112 (HTTP/1.1).
"""

from __future__ import annotations

import struct
from typing import Final

from procroute.model import Family

_ECHO: Final = {Family.IPV4: (8, 0), Family.IPV6: (128, 129)}
_RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_TYPE_A, _TYPE_AAAA, _IN = 1, 28, 1
_RESPONSE, _RECURSE = 0x8000, 0x0100


def echo_request(family: Family, number: int, token: bytes) -> bytes:
    """A ping, without IP header. number: its identifier. The kernel fills in the checksum of IPv6 alone."""
    kind = _ECHO[family][0]
    message = struct.pack("!BBHHH", kind, 0, 0, number, 1) + token
    if family is Family.IPV6:
        return message
    return message[:2] + struct.pack("!H", _checksum(message)) + message[4:]


def is_echo_reply(family: Family, packet: bytes, number: int, token: bytes) -> bool:
    """Whether it answers that ping. packet: as a raw socket gives it, of IPv4 with its header (raw(7))."""
    start = (packet[0] & 0xF) * 4 if packet and family is Family.IPV4 else 0
    kind = _ECHO[family][1]
    head = packet[start : start + 8]
    return (
        len(head) == 8
        and (head[0], head[1], head[4:6]) == (kind, 0, number.to_bytes(2, "big"))
        and (packet[start + 8 :] == token)
    )


def dns_query(family: Family, number: int, name: str) -> bytes:
    """Asks for the addresses of a name, of the family by which is asked."""
    labels = name.rstrip(".").encode("ascii").split(b".")
    asked = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    kind = _TYPE_A if family is Family.IPV4 else _TYPE_AAAA
    return struct.pack("!HHHHHH", number, _RECURSE, 1, 0, 0, 0) + asked + struct.pack("!HH", kind, _IN)


def dns_failure(answer: bytes, query: bytes) -> str | None:
    """What is wrong with an answer; empty: nothing. None: it is no answer to this query."""
    if (
        len(answer) < len(query)
        or answer[:2] != query[:2]
        or answer[12 : len(query)].lower() != query[12:].lower()
    ):
        return None
    flags = int.from_bytes(answer[2:4], "big")
    if not flags & _RESPONSE:
        return None
    rcode = flags & 0xF
    return f"answered {_RCODES.get(rcode, f'rcode {rcode}')}" if rcode else ""


def http_request(host: str, path: str) -> bytes:
    """Asks for a page."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: procroute",
        "Accept: */*",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


def http_failure(line: bytes, statuses: tuple[int, ...]) -> str:
    """What is wrong with the first line of an answer; empty: nothing."""
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit() or len(words[1]) != 3:
        return "the answer is no HTTP"
    status = int(words[1])
    fine = status in statuses if statuses else 200 <= status <= 399
    return "" if fine else f"answered {status}"


def _checksum(message: bytes) -> int:
    """RFC 1071."""
    even = message + b"\0" * (len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
