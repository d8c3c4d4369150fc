"""A program for a node behind an uplink: it is called, and speaks when nobody expects it any more.

    python -S late.py tcp|udp ADDRESS PORT

It prints "up"; after one client has come, it sends 200 bytes for each line of input, and prints "sent".
Source: ip(7), ipv6(7) (IP_TRANSPARENT: the node answers from any address).
"""

from __future__ import annotations

import socket
import sys

IP_TRANSPARENT = 19
IPV6_TRANSPARENT = 75


def main(transport: str, address: str, port: int) -> None:
    """Serve one client."""
    six = ":" in address
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, kind) as sock:
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        sock.bind((address, port))
        if transport == "tcp":
            sock.listen()
        print("up", flush=True)
        if transport == "tcp":
            client, _ = sock.accept()
        else:
            _, peer = sock.recvfrom(100)
            sock.connect(peer)
            client = sock
        for _ in sys.stdin:
            client.sendall(bytes(200))
            print("sent", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
