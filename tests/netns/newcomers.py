"""A program that makes new flows without a pause and waits for no answer, until its standard input ends.

    python -S newcomers.py ADDRESS...

By TCP, connected and unconnected UDP, each from a socket of its own, some hundreds a second. It prints
"sending" after its first round, and at the end one JSON line, how many went out and how many met which errno:

    {"sent": 2400, "ENETUNREACH": 12}

It needs the standard library only.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import sys
from collections import Counter, deque

WHO = 7000
BETWEEN = 0.002
_OPEN = 64


def send(kind: str, address: str) -> tuple[str, socket.socket]:
    """What became of it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        if kind == "unconnected":
            sock.sendto(b"who", (address, WHO))
        else:
            sock.connect((address, WHO))
            if kind == "udp":
                sock.send(b"who")
    except BlockingIOError:
        pass
    except OSError as failure:
        return errno.errorcode.get(failure.errno or 0, repr(failure)), sock
    return "sent", sock


def main() -> None:
    """Send on and on."""
    counted: Counter[str] = Counter()
    held: deque[socket.socket] = deque()
    rounds = 0
    while True:
        for address in sys.argv[1:]:
            for kind in ("tcp", "udp", "unconnected"):
                said, sock = send(kind, address)
                counted[said] += 1
                held.append(sock)
                if len(held) > _OPEN:
                    held.popleft().close()
                if select.select([sys.stdin], [], [], BETWEEN)[0]:
                    print(json.dumps(counted), flush=True)
                    return
        if not rounds:
            print("sending", flush=True)
        rounds += 1


if __name__ == "__main__":
    main()
