"""A client on the internet that calls the machine; run in a node's network.

    python -m procroute.lab.dial tcp|udp SOURCE DESTINATION PORT TEXT SECONDS SOURCE_PORT

Prints three lines: what came back, who sent it, the name of the errno if it failed.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

_IP_TRANSPARENT: Final = (socket.IPPROTO_IP, 19)
_IPV6_TRANSPARENT: Final = (socket.IPPROTO_IPV6, 75)


def call(
    transport: str, source: str, destination: str, port: int, text: str, seconds: float, source_port: int
) -> tuple[str, str]:
    """Send `text` as a line, read a line; it and its sender's address. Raises OSError."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as sock:
        sock.setsockopt(*(_IPV6_TRANSPARENT if family == socket.AF_INET6 else _IP_TRANSPARENT), 1)
        sock.settimeout(seconds)
        sock.bind((source, source_port))
        if transport == "tcp":
            sock.connect((destination, port))
            sock.sendall(text.encode() + b"\n")
            data, peer = sock.makefile("rb").readline(), sock.getpeername()
        else:  # unconnected: an answer from another address is seen too
            sock.sendto(text.encode() + b"\n", (destination, port))
            data, peer = sock.recvfrom(65535)
        return data.decode(errors="replace").strip(), str(peer[0])


def main() -> int:
    """Call as the arguments say and print the outcome."""
    transport, source, destination, port, text, seconds, source_port = sys.argv[1:8]
    answer = sender = error = ""
    try:
        answer, sender = call(
            transport, source, destination, int(port), text, float(seconds), int(source_port)
        )
    except TimeoutError:
        error = "ETIMEDOUT"
    except OSError as failure:
        error = errno.errorcode.get(failure.errno or 0, str(failure))
    sys.stdout.write(f"{answer}\n{sender}\n{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
