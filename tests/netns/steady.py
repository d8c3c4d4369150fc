"""A program that keeps asking the lab's servers until its standard input ends, and then says how that went.

    python -S steady.py ADDRESS...

It prints "asking" after its first round, and at the end one JSON line: how often each router answered, by
TCP and UDP, and how often which errno came instead:

    {"wan1": 240, "ENETUNREACH": 3}

It needs the standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import sys
from collections import Counter

WHO = 7000
SECONDS = 2 * float(os.environ.get("PROCROUTE_LAB_PATIENCE", "1"))


def ask(kind: socket.SocketKind, address: str) -> str:
    """Who answers, or the name of the error."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as sock:
            sock.settimeout(SECONDS)
            sock.connect((address, WHO))
            if kind == socket.SOCK_DGRAM:
                sock.send(b"who")
            return str(json.loads(sock.recv(4096))["router"])
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as failure:
        return errno.errorcode.get(failure.errno or 0, repr(failure))


def main() -> None:
    """Ask on and on."""
    heard: Counter[str] = Counter()
    rounds = 0
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        for address in sys.argv[1:]:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                heard[ask(kind, address)] += 1
        if not rounds:
            print("asking", flush=True)
        rounds += 1
    print(json.dumps(heard), flush=True)


if __name__ == "__main__":
    main()
