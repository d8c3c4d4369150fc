"""One end of a user-space tunnel, as VPN programs have them: a tun device, and UDP between the ends.

tunnel_end.py DEVICE client ADDRESS PORT [--port PORT] [--connect] [--mark MARK] [--also DEVICE]
                                          [--handed] [--child]
tunnel_end.py DEVICE server ADDRESS PORT

Each inner packet is one outer datagram. A server answers whoever spoke last. Prints "ready", and runs until
its stdin ends; a client says hello first, as handshakes do. Uses nothing but the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import select
import socket
import struct
import sys
import time

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_TUN_WITHOUT_HEADERS = 0x0001 | 0x1000  # IFF_TUN, IFF_NO_PI
_FREE_BIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}  # ip(7)
_HELLO = b"hello"

_kept: list[socket.socket] = []


class Outer:
    """The socket between the ends. own: the port that it is bound to; 0: to none."""

    def __init__(self, to: tuple[str, int], *, serves: bool, own: int, connects: bool) -> None:
        self._to = to
        self._connects = connects
        self._serves = serves
        self._peer = None if serves else to
        self.sock = self._opened()
        if serves:
            self.sock.setsockopt(*_FREE_BIND[self.sock.family], 1)  # the address is a node's by its routes
            self.sock.bind(to)
        elif own:
            self.sock.bind(("", own))

    def _opened(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self._to[0] else socket.AF_INET, socket.SOCK_DGRAM)
        if self._connects:
            with contextlib.suppress(OSError):
                sock.connect(self._to)
        return sock

    def send(self, packet: bytes) -> None:
        """One datagram; lost where nothing leaves. A connection that was ended is made anew."""
        try:
            if self._connects:
                self.sock.send(packet)
            elif self._peer is not None:
                self.sock.sendto(packet, self._peer)
        except OSError:
            if self._connects:
                self.sock.close()
                self.sock = self._opened()

    def receive(self) -> bytes:
        """One inner packet; empty: none."""
        try:
            data, sender = self.sock.recvfrom(65535)
        except OSError:  # an ICMP error
            return b""
        if self._serves:
            self._peer = sender[:2]
        return b"" if data == _HELLO else data


def _tun(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADERS))
    return fd


def _handed(name: str, outer: socket.socket) -> int:
    """A tun device that another process opens, hands over half a second later, and keeps open as well."""
    mine, its = socket.socketpair()
    if os.fork() == 0:
        mine.close()
        outer.close()
        device = _tun(name)
        its.send(b"opened")
        time.sleep(0.5)
        socket.send_fds(its, [b"device"], [device])
        its.recv(1)  # until the other one ends
        os._exit(0)
    its.close()
    mine.recv(16)
    print("ready", flush=True)
    _, (device,), *_ = socket.recv_fds(mine, 16, 1)
    _kept.append(mine)
    return device


def main() -> None:
    """Carry packets both ways."""
    parser = argparse.ArgumentParser()
    parser.add_argument("device")
    parser.add_argument("role", choices=["client", "server"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--port", dest="own", type=int, default=0)
    parser.add_argument("--connect", action="store_true")
    parser.add_argument("--mark", type=int, default=0, help="of its own, SO_MARK")
    parser.add_argument("--also", default="", help="one more device, which it only has open")
    parser.add_argument("--handed", action="store_true", help="another process opens the device for it")
    parser.add_argument(
        "--child", action="store_true", help="a child, which does nothing, holds its socket, too"
    )
    asked = parser.parse_args()
    serves = asked.role == "server"
    outer = Outer((asked.address, asked.port), serves=serves, own=asked.own, connects=asked.connect)
    if asked.mark:
        outer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, asked.mark)
    if not serves:
        outer.send(_HELLO)
    if asked.child and os.fork() == 0:
        os._exit(len(os.read(0, 1)))  # when stdin ends
    _also = _tun(asked.also) if asked.also else 0
    tun = _handed(asked.device, outer.sock) if asked.handed else _tun(asked.device)
    if not asked.handed:
        print("ready", flush=True)
    while True:
        readable, _, _ = select.select([outer.sock, tun, sys.stdin], [], [])
        if sys.stdin in readable and not os.read(0, 4096):
            return
        if outer.sock in readable and (packet := outer.receive()):
            with contextlib.suppress(OSError):  # the device is down
                os.write(tun, packet)
        if tun in readable:
            outer.send(os.read(tun, 65535))


if __name__ == "__main__":
    main()
