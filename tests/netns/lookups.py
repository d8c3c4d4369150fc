"""A program for the machine that looks a name up in the ways that programs do, and says who answered.

    python -S lookups.py NAME WAY...

    glibc 4|6                     getaddrinfo(3)
    connected|sent|tcp SERVER     a question of one's own, by connect(), sendto() or TCP
    mapped SERVER                 the same by connect() on an IPv6 socket, SERVER written as ::ffff:a.b.c.d
    two SERVER SERVER             both at once from one socket that is not connected
    musl FILE                     as musl does: A and AAAA at once to each server of a resolv.conf, from one
                                  socket that is not connected; each answer must come from who was asked
    go FILE                       as Go's own resolver does: A and AAAA side by side, each by a connected
                                  socket, the servers of a resolv.conf in their order
    dig udp|tcp                   dig(1), by the machine's resolv.conf

One JSON line for each: {"way": "sent", "router": "wan1", "client": "198.51.100.2", "sender": "203.0.113.53",
"error": ""}. sender: who answered, as the socket tells. It needs the standard library only; the name server
is that of the lab, which says in TXT who it is and whom it sees, and in A and AAAA who it is.
Sources: musl, src/network/res_msend.c; Go, src/net/dnsclient_unix.go.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

A, TXT, AAAA = 1, 16, 28
SECONDS = float(os.environ.get("PROCROUTE_LAB_PATIENCE", "1"))


def question(name: str, kind: int = TXT) -> bytes:
    """A DNS message that asks for TXT, or for A or AAAA, which is its id (RFC 1035, section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", kind, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


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
    return {"router": named(str(socket.getaddrinfo(name, None, kind, socket.SOCK_STREAM)[0][4][0]))}


def named(address: str) -> str:
    """The router that has given an address for its answer."""
    number = re.split("[.:]", address)[-1]
    return {"1": "wan1", "2": "wan2", "3": "lan"}.get(number, address)


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


def servers_of(file: str) -> list[str]:
    """The name servers of a resolv.conf, the first three."""
    lines = (line.split() for line in Path(file).read_text().splitlines())
    return [words[1] for words in lines if words[:1] == ["nameserver"]][:3]


def routers(answers: list[bytes]) -> str:
    """The routers that have given addresses, each once."""
    found = set()
    for answer in answers:
        (kind,) = struct.unpack_from("!H", answer)
        size = 4 if kind == A else 16
        family = socket.AF_INET if kind == A else socket.AF_INET6
        found.add(named(socket.inet_ntop(family, answer[-size:])))
    return " ".join(sorted(found))


def as_musl(name: str, file: str) -> dict[str, str]:
    servers = servers_of(file)
    six = any(":" in server for server in servers)
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::" if six else "0.0.0.0", 0))
        sock.settimeout(SECONDS)
        asked = {f"::ffff:{s}" if six and ":" not in s else s for s in servers}
        for kind in (A, AAAA):
            for server in asked:
                sock.sendto(question(name, kind), (server, 53))
        answers: set[tuple[str, bytes]] = set()
        while len(answers) < 2 * len(asked):
            answer, sender = sock.recvfrom(4096)
            if sender[0] not in asked or sender[1] != 53:
                return {"error": f"an answer from {sender[0]}, who was not asked"}
            answers.add((sender[0], answer))
    return {"router": routers([answer for _, answer in answers])}


def as_go(name: str, file: str) -> dict[str, str]:
    def exchange(kind: int) -> bytes:
        last: OSError = FileNotFoundError(errno.ENOENT, "no name server")
        for server in servers_of(file):
            with socket.socket(family_of(server), socket.SOCK_DGRAM) as sock:
                sock.settimeout(SECONDS)
                try:
                    sock.connect((server, 53))
                    sock.send(question(name, kind))
                    answer = sock.recv(4096)
                except OSError as failure:
                    last = failure
                    continue
                if answer[:2] == question(name, kind)[:2] and sock.getpeername()[0] == server:
                    return answer
                last = OSError(errno.EBADMSG, "another's answer")
        raise last

    with ThreadPoolExecutor(2) as pool:
        return {"router": routers(list(pool.map(exchange, (A, AAAA))))}


def by_dig(name: str, transport: str) -> dict[str, str]:
    options = ["+short", "+tries=1", "+retry=0", f"+time={max(1, round(SECONDS))}"]
    options += ["+tcp"] if transport == "tcp" else ["+notcp"]
    words = ["dig", *options, name, "TXT"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        return {"error": f"dig {done.returncode}: {done.stdout.strip()} {done.stderr.strip()}"}
    return told(done.stdout.encode())


def look_up(name: str, way: str, words: list[str]) -> dict[str, str]:
    """One answer, in one of the ways above."""
    if way == "glibc":
        return by_glibc(name, words[0])
    if way == "tcp":
        return by_stream(name, words[0])
    if way == "two":
        return by_one_socket(name, words)
    if way in _BY_ITSELF:
        return _BY_ITSELF[way](name, words[0])
    return by_datagram(name, words[0], way in ("connected", "mapped"))


_BY_ITSELF = {"musl": as_musl, "go": as_go, "dig": by_dig}


def answered(name: str, way: str, words: list[str]) -> dict[str, str]:
    """What became of one way of asking."""
    try:
        found = look_up(name, way, words)
    except TimeoutError:
        found = {"error": "ETIMEDOUT"}
    except socket.gaierror as failure:
        found = {"error": f"EAI {failure.errno}"}
    except OSError as failure:
        found = {"error": errno.errorcode.get(failure.errno or 0, repr(failure))}
    return {"way": " ".join([way, *words]), "router": "", "client": "", "sender": "", "error": ""} | found


def main() -> None:
    """Do each and print it."""
    name, *rest = sys.argv[1:]
    while rest:
        way = rest.pop(0)
        words = [rest.pop(0) for _ in range(2 if way == "two" else 1)]
        print(json.dumps(answered(name, way, words)), flush=True)


if __name__ == "__main__":
    main()
