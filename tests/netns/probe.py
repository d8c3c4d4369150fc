"""A program to run in the lab's machine: opens sockets as it is told and says what became of them.

One JSON request a line on stdin, one JSON answer a line on stdout, until stdin ends:

    {"how": "tcp", "to": "192.0.2.80"}
    {"router": "wan1", "client": "198.51.100.2", "local": "198.51.100.2", "error": "", "ms": 0.4, ...}

how: tcp, udp (connected), unconnected, ping, raw (one packet, no answer) … It needs the standard library
only and imports nothing of ours.
Sources: ip(7), ipv6(7), socket(7); include/uapi/linux/in.h for IP_UNICAST_IF.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

WHO = 7000
MPTCP = 262
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_MTU = 14
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
IP_FREEBIND = 15
IP_UNICAST_IF = 50
IPV6_UNICAST_IF = 76
IP_OPTIONS = 4
LSRR = 131
SEGMENT_ROUTING = 4
PATIENCE = float(os.environ.get("PROCROUTE_LAB_PATIENCE", "1"))
"""As procroute/lab/patience.py has it."""

_kept: dict[str, socket.socket] = {}


def main() -> None:
    """Answer requests until there are no more."""
    if len(sys.argv) > 1:
        print(json.dumps(answer(json.loads(sys.argv[1]))), flush=True)
        return
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked; an OSError becomes its name."""
    how = request.pop("how")
    begun = time.monotonic()
    found: dict[str, Any] = {}
    try:
        found = _WAYS[how](**request)
    except TimeoutError:
        found["error"] = "ETIMEDOUT"
    except OSError as failure:
        found["error"] = errno.errorcode.get(failure.errno or 0, repr(failure))
    return {"ms": (time.monotonic() - begun) * 1000, **found}


def talk(kind: str, to: str, keep: str = "", **options: Any) -> dict[str, Any]:
    """Ask a "who" server. keep: leave the socket open under this name."""
    sock, seconds = _socket(kind, to, **options)
    if keep:
        _kept[keep] = sock
    try:
        return _ask(sock, kind, to, seconds, options)
    finally:
        if not keep:
            sock.close()


def _socket(
    kind: str,
    to: str,
    seconds: float = 1,
    source: str = "",
    device: str = "",
    unicast: str = "",
    mark: int | None = None,
    mptcp: bool = False,
    freebind: bool = False,
    through: str = "",
    header: str = "",
    source_port: int = 0,
    **_: Any,
) -> tuple[socket.socket, float]:
    """source, source_port: bind to them; device: SO_BINDTODEVICE; unicast: IP_UNICAST_IF; mark: SO_MARK;
    freebind: also to an address that is nobody's; through: the router of a source route;
    header: IPv4 options or IPv6 destination options for every packet, in hexadecimal."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    stream = kind == "tcp"
    protocol = MPTCP if mptcp else 0
    try:
        sock = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM, protocol)
    except OSError:
        if not mptcp:
            raise
        sock = socket.socket(family, socket.SOCK_STREAM)  # as programs do that try MPTCP first
    sock.settimeout(seconds)
    if mark is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if unicast:
        index = socket.htonl(socket.if_nametoindex(unicast))
        level, name = (
            (socket.IPPROTO_IPV6, IPV6_UNICAST_IF)
            if family == socket.AF_INET6
            else (socket.IPPROTO_IP, IP_UNICAST_IF)
        )
        sock.setsockopt(level, name, struct.pack("I", index))
    if freebind:
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    if through and family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RTHDR, _routing_header(0, through, to))
    elif through:
        sock.setsockopt(socket.IPPROTO_IP, IP_OPTIONS, _loose_route(through))
    if header and family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes.fromhex(header))
    elif header:
        sock.setsockopt(socket.IPPROTO_IP, IP_OPTIONS, bytes.fromhex(header))
    _bind(sock, source, source_port)
    return sock, seconds


def _bind(sock: socket.socket, source: str, port: int) -> None:
    if port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if source or port:
        sock.bind((source, port))


def _ask(sock: socket.socket, kind: str, to: str, seconds: float, options: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "protocol": sock.proto or sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL),
        "mark": sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK),
    }
    port = options.get("port", WHO)
    try:
        if kind == "unconnected":
            sock.sendmsg([b"who"], _pktinfo(sock, options), 0, (to, port))
        elif options.get("fast"):
            sock.sendto(b"who", socket.MSG_FASTOPEN, (to, port))
        else:
            sock.connect((to, port))
        said["local"] = str(sock.getsockname()[0])
        if kind == "udp":
            sock.send(b"who")
        data, sender = sock.recvfrom(4096)
        said["sender"] = sender[0] if sender else str(sock.getpeername()[0])
        reply = json.loads(data)
        said |= {"router": reply["router"], "client": reply["client"]}
    except TimeoutError:
        said["error"] = "ETIMEDOUT"
    except OSError as failure:
        said["error"] = errno.errorcode.get(failure.errno or 0, repr(failure))
    return said


def _pktinfo(sock: socket.socket, options: dict[str, Any]) -> list[tuple[int, int, bytes]]:
    """Ancillary data that asks for a source address ("from") or an adapter ("by") for one datagram."""
    source, by = options.get("pktinfo_from", ""), options.get("pktinfo_by", "")
    if not source and not by:
        return []
    index = socket.if_nametoindex(by) if by else 0
    if sock.family == socket.AF_INET6:
        address = socket.inet_pton(socket.AF_INET6, source or "::")
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, address + struct.pack("I", index))]
    address = socket.inet_pton(socket.AF_INET, source or "0.0.0.0")
    return [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("I", index) + address + bytes(4))]


def discover_mtu(to: str, rounds: int = 20) -> dict[str, Any]:
    """What a connected UDP socket takes its path to carry, once datagrams that were too large have been
    refused (ip(7), IP_MTU)."""
    six = ":" in to
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    discover, do, mtu = (IPV6_MTU_DISCOVER, 2, IPV6_MTU) if six else (IP_MTU_DISCOVER, 2, IP_MTU)
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(level, discover, do)
        sock.connect((to, 9))
        known = sock.getsockopt(level, mtu)
        for _ in range(rounds):
            try:
                sock.send(bytes(known - (48 if six else 28)))
            except OSError as failure:  # an error of before, or that one is too large
                if failure.errno not in (errno.EMSGSIZE, errno.ECONNREFUSED, errno.EHOSTUNREACH):
                    raise
            time.sleep(0.02 * PATIENCE)
            known = sock.getsockopt(level, mtu)
        return {"mtu": known}


def again(name: str, to: str = "", seconds: float = 1) -> dict[str, Any]:
    """Speak once more on a kept socket. to: where an unconnected one sends."""
    sock = _kept[name]
    sock.settimeout(seconds)
    if to:
        sock.sendto(b"again", (to, WHO))
    else:
        sock.sendall(b"again\n")
    return {"said": sock.recv(4096).decode()}


def fresh(kind: str, family: int, name: str) -> dict[str, Any]:
    """Open a socket and leave it as it is, under this name."""
    six = socket.AF_INET6 if family == 6 else socket.AF_INET
    _kept[name] = socket.socket(six, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    return {}


def reach(name: str, to: str, seconds: float = 1) -> dict[str, Any]:
    """Connect a kept socket."""
    sock = _kept[name]
    sock.settimeout(seconds)
    return _ask(sock, "tcp" if sock.type == socket.SOCK_STREAM else "udp", to, seconds, {})


def tie(name: str, address: str) -> dict[str, Any]:
    """Bind a kept socket to an address."""
    _kept[name].bind((address, 0))
    return {}


def pair(name: str, family: int) -> dict[str, Any]:
    """A TCP connection over loopback, both ends here."""
    address = "::1" if family == 6 else "127.0.0.1"
    with socket.create_server(
        (address, 0), family=socket.AF_INET6 if family == 6 else socket.AF_INET
    ) as server:
        _kept[name] = socket.create_connection(server.getsockname()[:2])
        _kept[f"{name} other"] = server.accept()[0]
    return {}


def paired(name: str) -> dict[str, Any]:
    """Say something over such a connection."""
    _kept[name].sendall(b"word")
    return {"said": _kept[f"{name} other"].recv(4).decode()}


def fork(session: bool = False, headless: bool = False) -> dict[str, Any]:
    """A child that holds all that is open here, and does nothing until this one ends.

    headless: its first thread has ended by then, another one lives.
    """
    child = os.fork()
    if child == 0:
        if session:
            os.setsid()
        if headless:
            threading.Thread(target=_outlive_the_parent).start()
            exit_thread = 60 if os.uname().machine == "x86_64" else 93  # asm/unistd.h
            ctypes.CDLL(None).syscall(exit_thread, 0)
        _outlive_the_parent()
    return {"pid": child}


def orphan() -> dict[str, Any]:
    """A grandchild whose parent has ended; it lives until this process ends."""
    mine, its = os.pipe()
    ours = os.getpid()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.write(its, str(os.getpid()).encode())
            while os.path.exists(f"/proc/{ours}"):
                time.sleep(0.05)
        os._exit(0)
    os.waitpid(child, 0)
    try:
        return {"pid": int(os.read(mine, 16))}
    finally:
        os.close(mine)
        os.close(its)


def _outlive_the_parent() -> None:
    while os.getppid() != 1:
        time.sleep(0.05)
    os._exit(0)


def drop(name: str) -> dict[str, Any]:
    """Close a kept socket."""
    _kept.pop(name).close()
    return {}


def ping(to: str, seconds: float = 1, by: str = "") -> dict[str, Any]:
    """ping(8) once. by: an address or an adapter, as its option -I."""
    family = "-6" if ":" in to else "-4"
    command = ["ping", family, "-n", "-q", "-c", "1", "-W", str(seconds), *(["-I", by] if by else []), to]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 10, check=False)
    if done.returncode == 0:
        return {}
    return {"error": done.stderr.strip() or "ETIMEDOUT"}


def raw(
    kind: str,
    to: str,
    source: str = "",
    device: str = "",
    through: str = "",
    before: int = 0,
    fragments: int = 0,
    says: str = "",
    **options: Any,
) -> dict[str, Any]:
    """Send one echo request. kind: "ping", an unprivileged socket; "raw"; "packet", a packet socket, to
    whoever is behind `device`; or "header", with the IP header made here, from `source`, with a source route
    `through` a router after `before` options of no effect (and in IPv6 after `fragments` headers that say
    that this is all). says: the header names this destination instead of the one that it is sent to."""
    six = ":" in to
    family = socket.AF_INET6 if six else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    echo = struct.pack("!BBHHH", 128 if six else 8, 0, 0 if six else 0xF7FD, 1, 1)
    kinds = {
        "ping": (socket.SOCK_DGRAM, protocol),
        "raw": (socket.SOCK_RAW, protocol),
        "header": (socket.SOCK_RAW, socket.IPPROTO_RAW),
    }
    if kind == "packet":
        packet = (_packet6 if six else _packet4)(source, to, "", 0, 0)
        total = packet if six else packet[:2] + struct.pack("!H", len(packet) + len(echo)) + packet[4:]
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
            sock.sendto(total + echo, (device, 0x86DD if six else 0x0800, 0, 0, b"\xff" * 6))
        return {}
    with socket.socket(family, *kinds[kind]) as sock:
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if kind == "header":
            build = _packet6 if six else _packet4
            sock.sendto(build(source, says or to, through, before, fragments) + echo, (through or to, 0))
            return {}
        if source:
            sock.bind((source, 0))
        sock.sendmsg([echo], _pktinfo(sock, options), 0, (to, 0))
    return {}


def _packet4(source: str, to: str, through: str, before: int, _fragments: int) -> bytes:
    """An IPv4 header (RFC 791) of an echo request; the kernel fills in length and checksum (raw(7))."""
    options = bytes([1]) * before + (_loose_route(to) if through else b"")
    options += bytes(-len(options) % 4)
    ends = socket.inet_aton(source) + socket.inet_aton(through or to)
    first = 0x40 | (5 + len(options) // 4)
    return struct.pack("!BBHHHBBH", first, 0, 0, 0, 0, 64, socket.IPPROTO_ICMP, 0) + ends + options


def _loose_route(address: str) -> bytes:
    """The option of RFC 791 with one address: for IP_OPTIONS the next router, in a packet what follows."""
    return struct.pack("!BBB4sB", LSRR, 7, 4, socket.inet_aton(address), 0)


def _packet6(source: str, to: str, through: str, before: int, fragments: int) -> bytes:
    """An IPv6 header (RFC 8200) of an echo request; before: destination options, each empty."""
    kinds = [socket.IPPROTO_DSTOPTS] * before + [socket.IPPROTO_FRAGMENT] * fragments
    kinds += [socket.IPPROTO_ROUTING] * bool(through)
    following = [*kinds, socket.IPPROTO_ICMPV6][1:]
    chain = b"".join(
        _routing_header(after, through, to)
        if kind == socket.IPPROTO_ROUTING
        else struct.pack("!BBBB4x", after, 0, *((1, 4) if kind == socket.IPPROTO_DSTOPTS else (0, 0)))
        for kind, after in zip(kinds, following, strict=True)
    )
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, through or to)
    first = kinds[0] if kinds else socket.IPPROTO_ICMPV6
    return struct.pack("!IHBB", 6 << 28, len(chain) + 8, first, 64) + ends + chain


def _routing_header(after: int, through: str, to: str) -> bytes:
    """A segment routing header (RFC 8754): first `through`, then `to`."""
    segments = socket.inet_pton(socket.AF_INET6, to) + socket.inet_pton(socket.AF_INET6, through)
    return struct.pack("!BBBBBBH", after, 4, SEGMENT_ROUTING, 1, 1, 0, 0) + segments


def spawn(depth: int, **request: Any) -> dict[str, Any]:
    """Have a descendant do it: each one starts the next in a session of its own."""
    inner = {"how": "spawn", "depth": depth - 1, **request} if depth > 1 else request | {"how": request["of"]}
    if depth <= 1:
        inner.pop("of")
    command = [sys.executable, "-S", __file__, json.dumps(inner)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=20 * PATIENCE, check=True, start_new_session=True
    )
    return dict(json.loads(done.stdout))


def serve(transport: str, address: str, port: int) -> dict[str, Any]:
    """Answer each line or datagram with "served at <where it is bound>", in the background.

    transport: tcp, udp, or pktinfo: UDP that names the address that it was called by in each answer.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    if transport == "tcp":
        sock.listen()
    elif transport == "pktinfo" and family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif transport == "pktinfo":
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    threading.Thread(target=_serve, args=(sock, transport), daemon=True).start()
    _kept[f"{transport} {address} {port}"] = sock
    return {"local": address}


def _serve(sock: socket.socket, transport: str) -> None:
    while True:
        try:
            if transport == "tcp":
                connection, _ = sock.accept()
                with connection:
                    connection.settimeout(3)
                    connection.recv(4096)
                    connection.sendall(f"served at {connection.getsockname()[0]}\n".encode())
            elif transport == "pktinfo":
                _, [(level, kind, found)], _, client = sock.recvmsg(4096, 256)
                # Of what came: the adapter, the address that it is for, and in IPv4 its destination (ip(7)).
                its = found if level == socket.IPPROTO_IPV6 else bytes(4) + found[4:8] + bytes(4)
                its = its[:16] + bytes(4) if level == socket.IPPROTO_IPV6 else its
                sock.sendmsg([b"served"], [(level, kind, its)], 0, client)
            else:
                _, client = sock.recvfrom(4096)
                sock.sendto(f"served at {sock.getsockname()[0]}\n".encode(), client)
        except OSError:
            if sock.fileno() < 0:
                return


def send_from(name: str, to: str, port: int = WHO) -> dict[str, Any]:
    """One datagram from a server's own socket, to somebody who did not ask."""
    _kept[name].sendto(b"unasked", (to, port))
    return {}


def await_handed(path: str, name: str) -> dict[str, Any]:
    """Keep a socket that somebody hands over at this path, under this name; returns at once."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def take() -> None:
        with server, server.accept()[0] as peer:
            _, (descriptor,), _, _ = socket.recv_fds(peer, 1, 1)
            _kept[name] = socket.socket(fileno=descriptor)

    threading.Thread(target=take, daemon=True).start()
    return {}


def hand(path: str, kind: str, family: int) -> dict[str, Any]:
    """Open a socket and hand it over."""
    six = socket.AF_INET6 if family == 6 else socket.AF_INET
    with socket.socket(socket.AF_UNIX) as peer, socket.socket(six, _KINDS[kind]) as sock:
        peer.connect(path)
        socket.send_fds(peer, [b"!"], [sock.fileno()])
        peer.recv(1)  # until it is taken
    return {}


_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def names(name: str, ways: list[list[str]]) -> dict[str, Any]:
    """Look a name up in these ways of lookups.py, in this very process; its answers as JSON in `said`."""
    import lookups  # type: ignore[import-not-found]  # beside this file, whose folder is on the path

    return {"said": json.dumps([lookups.answered(name, way, words) for way, *words in ways])}


def hello() -> dict[str, Any]:
    """Who this is."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    cgroup = next(line[3:] for line in lines if line.startswith("0::"))
    return {"pid": os.getpid(), "cgroup": cgroup}


_WAYS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "tcp": lambda **request: talk("tcp", **request),
    "udp": lambda **request: talk("udp", **request),
    "unconnected": lambda **request: talk("unconnected", **request),
    "ping": ping,
    "raw": raw,
    "again": again,
    "discover_mtu": discover_mtu,
    "drop": drop,
    "fresh": fresh,
    "orphan": orphan,
    "reach": reach,
    "tie": tie,
    "pair": pair,
    "paired": paired,
    "fork": fork,
    "spawn": spawn,
    "serve": serve,
    "send_from": send_from,
    "await_handed": await_handed,
    "hand": hand,
    "names": names,
    "hello": hello,
}

if __name__ == "__main__":
    main()
