"""A program that pings without a pause until its standard input ends, and says when what was answered.

    python -S pinging.py ADDRESS

It prints "pinging" after the first answer, and at the end one JSON line: [[sent, answered], …] in seconds of
CLOCK_MONOTONIC. It needs the standard library only.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

EVERY = 0.001
"""Seconds between two."""
_ECHO, _ECHO6, _REPLY, _REPLY6 = 8, 128, 0, 129


def main() -> None:
    """Ping on and on; an error is an answer that does not come."""
    to = sys.argv[1]
    six = ":" in to
    kind = (
        (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        if six
        else (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    )
    sent: dict[int, float] = {}
    answered: list[tuple[float, float]] = []
    sock = socket.socket(*kind)
    sock.setblocking(False)
    while not select.select([sys.stdin], [], [], EVERY)[0]:
        number = len(sent) & 0xFFFF
        sent[number] = time.monotonic()
        try:
            sock.sendto(echo(number, six=six), (to, 0))
        except OSError:
            continue
        finally:
            hear(sock, sent, answered, six=six)
    print(json.dumps(answered), flush=True)


def echo(number: int, *, six: bool) -> bytes:
    """An echo request (RFC 792, RFC 4443); of ICMPv6 the kernel fills in the checksum."""
    head = struct.pack("!BBHHH", _ECHO6 if six else _ECHO, 0, 0, 7, number)
    if six:
        return head
    total = sum(struct.unpack("!4H", head))
    return head[:2] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[4:]


def hear(
    sock: socket.socket, sent: dict[int, float], answered: list[tuple[float, float]], *, six: bool
) -> None:
    """Take what has come."""
    while True:
        try:
            data = sock.recv(4096)
        except OSError:
            return
        at = 0 if six else (data[0] & 15) * 4
        if data[at] == (_REPLY6 if six else _REPLY):
            (number,) = struct.unpack_from("!H", data, at + 6)
            answered.append((sent[number], time.monotonic()))
            if len(answered) == 1:
                print("pinging", flush=True)


if __name__ == "__main__":
    main()
