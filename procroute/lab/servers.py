"""The servers of a node: "who" (TCP and UDP port 7000) and names (TCP and UDP port 53), on every address.

"who" says which router it is and whom it sees, as one JSON line; over TCP it then echoes what it gets:

    {"router": "wan1", "client": "198.51.100.2", "port": 40312}

IP_TRANSPARENT lets a socket answer from the address that was asked, whichever that is: the node is the whole
internet. Sources: ip(7), ipv6(7) (IP_PKTINFO, IPV6_RECVPKTINFO, IP_TRANSPARENT).
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
from collections.abc import Callable
from typing import Final

from procroute.lab import names
from procroute.lab.records import Query

WHO_PORT: Final = 7000
DNS_PORT: Final = 53
_IP_PKTINFO: Final = 8
_IP_TRANSPARENT: Final = 19
_IPV6_TRANSPARENT: Final = 75
_IPV6_PKTINFO: Final = 50
_IPV6_RECVPKTINFO: Final = 49
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


class Servers:
    """All servers of the node called `router`, driven by `selector` (its data is a callable per socket)."""

    def __init__(self, selector: selectors.BaseSelector, router: str, number: int) -> None:
        self._selector = selector
        self._router = router
        self._number = number
        self.queries: list[Query] = []
        for family in _FAMILIES:
            self._listen(family, WHO_PORT, self._greet)
            self._listen(family, DNS_PORT, self._serve_names)
            self._receive(family, WHO_PORT, self._answer_who)
            self._receive(family, DNS_PORT, self._answer_name)

    def _listen(
        self, family: socket.AddressFamily, port: int, welcome: Callable[[socket.socket], None]
    ) -> None:
        sock = _any_address(family, socket.SOCK_STREAM, port)
        sock.listen(512)

        def accept() -> None:
            try:
                connection, _ = sock.accept()
            except OSError:  # the client has gone already
                return
            connection.settimeout(5)
            try:
                welcome(connection)
            except OSError:  # it was reset meanwhile
                connection.close()

        self._watch(sock, accept)

    def _receive(
        self, family: socket.AddressFamily, port: int, answer: Callable[[bytes, str, int, str], bytes]
    ) -> None:
        sock = _any_address(family, socket.SOCK_DGRAM, port)

        def receive() -> None:
            try:
                data, ancillary, _, peer = sock.recvmsg(65535, 256)
                asked_at, control = _reply_from(ancillary)
                if reply := answer(data, _bare(peer[0]), peer[1], asked_at):
                    sock.sendmsg([reply], control, 0, peer)
            except OSError:  # no way back to that client: as on the internet, silence
                return

        self._watch(sock, receive)

    def _greet(self, connection: socket.socket) -> None:
        peer = connection.getpeername()
        connection.sendall(self._answer_who(b"", _bare(peer[0]), peer[1], ""))

        def echo() -> None:
            try:
                data = connection.recv(65536)
                if data:
                    connection.sendall(data)
                    return
            except OSError:
                pass
            self._drop(connection)

        self._watch(connection, echo)

    def _serve_names(self, connection: socket.socket) -> None:
        client, server = _bare(connection.getpeername()[0]), _bare(connection.getsockname()[0])
        pending = bytearray()

        def serve() -> None:
            try:
                data = connection.recv(65536)
                pending.extend(data)
                while len(pending) >= 2 and len(pending) >= 2 + (size := int.from_bytes(pending[:2], "big")):
                    message = bytes(pending[2 : 2 + size])
                    del pending[: 2 + size]
                    reply = self._answer_question(message, client, "tcp", server)
                    connection.sendall(struct.pack("!H", len(reply)) + reply)
                if data:
                    return
            except OSError:
                pass
            self._drop(connection)

        self._watch(connection, serve)

    def _answer_who(self, _data: bytes, client: str, port: int, _server: str) -> bytes:
        return json.dumps({"router": self._router, "client": client, "port": port}).encode() + b"\n"

    def _answer_name(self, data: bytes, client: str, _port: int, server: str) -> bytes:
        return self._answer_question(data, client, "udp", server)

    def _answer_question(self, message: bytes, client: str, transport: str, server: str) -> bytes:
        asked = names.question(message)
        if asked is None:
            return b""
        self.queries.append(Query(asked.name, asked.type, client, transport, server))
        return names.reply(asked, self._router, self._number, client)

    def _watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()


def _any_address(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    sock.bind(("", port))
    return sock


def _reply_from(ancillary: list[tuple[int, int, bytes]]) -> tuple[str, list[tuple[int, int, bytes]]]:
    """The address that a datagram was sent to, and the control message that makes the reply come from it."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            # struct in_pktinfo: ifindex, source to use, destination of the header
            destination = data[8:12]
            return socket.inet_ntop(socket.AF_INET, destination), [
                (level, kind, bytes(4) + destination + bytes(4))
            ]
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            return socket.inet_ntop(socket.AF_INET6, data[:16]), [(level, kind, data)]
    return "", []


def _bare(address: str) -> str:
    """An address without its zone."""
    return address.partition("%")[0]
