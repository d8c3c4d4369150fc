"""A program for the machine that looks a name up in the ways that programs do, and says who answered.

    python -S lookups.py NAME WAY...

    glibc 4|6                     getaddrinfo(3)
    connected|sent|tcp SERVER     a question of one's own, by connect(), sendto() or TCP
    mapped SERVER                 the same by connect() on an IPv6 socket, SERVER written as ::ffff:a.b.c.d
    two SERVER SERVER             both at once from one socket that is not connected

One JSON line for each: {"way": "sent", "router": "wan1", "client": "198.51.100.2", "sender": "203.0.113.53",
"error": ""}. sender: who answered, as the socket tells. It needs the standard library only; the name server
is that of the lab, which says in TXT who it is and whom it sees, and in A and AAAA who it is.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import struct
import sys

TXT = 16
SECONDS = float(os.environ.get("PROCROUTE_LAB_PATIENCE", "1"))


def question(name: str) -> bytes:
    """A DNS message that asks for TXT (RFC 1035, section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", TXT, 1)


def told(message: bytes) -> dict[str, str]:
    """Who the answer is from, and whom it saw."""
    found = re.search(rb"router=(\S+) client=([0-9a-f.:]+)", message)
    if not found:
        return {"error": "ENOMSG"}
    return {"router": found[1].decode(), "client": found[2].decode()}


def family_of(server: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in server else socket.AF_INET


def by_glibc(name: str, family: str) -> dict[str, str]:
    kind = socket.AF_INET if family == "4" else socket.AF_INET6
    address = str(socket.getaddrinfo(name, None, kind, socket.SOCK_STREAM)[0][4][0])
    number = address.rpartition("." if family == "4" else ":")[2]
    return {"router": {"1": "wan1", "2": "wan2", "3": "lan"}.get(number, address)}


def by_datagram(name: str, server: str, connected: bool) -> dict[str, str]:
    with socket.socket(family_of(server), socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        to = socket.getaddrinfo(server, 53, sock.family, sock.type)[0][4]  # with the zone of fe80::1%wan1
        if connected:
            sock.connect(to)
            sock.send(question(name))
            answer = sock.recv(4096)
            return told(answer) | {"sender": str(sock.getpeername()[0])}
        sock.sendto(question(name), to)
        answer, sender = sock.recvfrom(4096)
        return told(answer) | {"sender": str(sender[0])}


def by_stream(name: str, server: str) -> dict[str, str]:
    with socket.create_connection((server, 53), timeout=SECONDS) as sock:
        asked = question(name)
        sock.sendall(struct.pack("!H", len(asked)) + asked)
        return told(sock.recv(4096)) | {"sender": str(sock.getpeername()[0])}


def by_one_socket(name: str, servers: list[str]) -> dict[str, str]:
    with socket.socket(family_of(servers[0]), socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        for server in servers:
            sock.sendto(question(name), (server, 53))
        (first, one), (_, other) = sock.recvfrom(4096), sock.recvfrom(4096)
        return told(first) | {"sender": " ".join(sorted([str(one[0]), str(other[0])]))}


def look_up(name: str, way: str, words: list[str]) -> dict[str, str]:
    """One answer, in one of the ways above."""
    if way == "glibc":
        return by_glibc(name, words[0])
    if way == "tcp":
        return by_stream(name, words[0])
    if way == "two":
        return by_one_socket(name, words)
    return by_datagram(name, words[0], way in ("connected", "mapped"))


def main() -> None:
    """Do each and print it."""
    name, *rest = sys.argv[1:]
    while rest:
        way = rest.pop(0)
        words = [rest.pop(0) for _ in range(2 if way == "two" else 1)]
        try:
            found = look_up(name, way, words)
        except TimeoutError:
            found = {"error": "ETIMEDOUT"}
        except socket.gaierror as failure:
            found = {"error": f"EAI {failure.errno}"}
        except OSError as failure:
            found = {"error": errno.errorcode.get(failure.errno or 0, repr(failure))}
        empty = {"router": "", "client": "", "sender": "", "error": ""}
        print(json.dumps(empty | {"way": " ".join([way, *words])} | found), flush=True)


if __name__ == "__main__":
    main()
