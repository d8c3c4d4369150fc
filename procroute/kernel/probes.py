"""Makes one health check through one adapter, whatever table main and other people's rules say. EFFECTS.

The socket carries the mark of a route by that adapter, whose table is looked up then, and is tied to the
adapter: were our rules gone, it would leave by that one or not at all. Sources: socket(7), raw(7), icmp(7).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

from msgspec import Struct

from procroute.checks import Check
from procroute.core import probe_messages as messages
from procroute.kernel.faults import passed
from procroute.kernel.parting import Parting
from procroute.model import Family, IPAddress

_SO_MARK, _SO_BINDTOIFINDEX = 36, 62  # asm-generic/socket.h
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1  # linux/in.h, linux/icmp.h, linux/icmpv6.h
_LINE: Final = 4096
"""Bytes of an answer's first line at most."""
_Address = tuple[str, int] | tuple[str, int, int, int]
_T = TypeVar("_T")


class Path(Struct, frozen=True):
    """How a check leaves: the adapter, and the mark of a route by it."""

    ifindex: int
    mark: int


class Prober:
    """Makes checks. Used in one loop's thread."""

    def __init__(self) -> None:
        self._parting = Parting()

    def close(self) -> None:
        """Make none any more."""
        self._parting.close()

    async def probe(self, check: Check, to: IPAddress, path: Path) -> str:
        """Make a check once; why it failed in words, empty: it did not. to: whom to ask.

        Waits for an answer as long as nobody cancels it.
        """
        try:
            if check.kind == "ping":
                return await _ping(to, path)
            kind = socket.SOCK_DGRAM if check.kind == "dns" else socket.SOCK_STREAM
            sock = _socket(to, kind, 0, path)
            try:
                self._parting.prepare(sock)
                return await _asked(check, to, path, sock)
            finally:
                self._parting.leave(sock)
        except ConnectionRefusedError:
            return "refused"
        except ssl.SSLCertVerificationError as e:
            return f"its certificate is not trusted: {e.verify_message}"
        except ssl.SSLError as e:
            return f"no TLS: {(e.reason or 'broken off').lower().replace('_', ' ')}"
        except OSError as e:
            return (e.strerror or str(e)).lower()


async def _asked(check: Check, to: IPAddress, path: Path, sock: socket.socket) -> str:
    """As Prober.probe; raises OSError."""
    at = _at(to, check.port, path)
    if check.kind == "dns":
        query = messages.dns_query(Family.of(to), secrets.randbits(16), check.name)
        return await _answer(sock, at, query, lambda p: messages.dns_failure(p, query))
    await asyncio.get_running_loop().sock_connect(sock, at)
    if check.kind == "tcp":
        return ""
    host = check.name or str(to)
    if not check.tls:
        return await _page(check, host, sock)
    # A descriptor of its own: the other one is kept a moment longer.
    with _context().wrap_socket(sock.dup(), server_hostname=host, do_handshake_on_connect=False) as wrapped:
        await _done(wrapped, wrapped.do_handshake)
        return await _page(check, host, wrapped)


def _socket(to: IPAddress, kind: int, protocol: int, path: Path) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        for option, value in ((_SO_BINDTOIFINDEX, path.ifindex), (_SO_MARK, path.mark)):
            passed("setsockopt", option, made.setsockopt, socket.SOL_SOCKET, option, value)
    except BaseException:
        made.close()
        raise
    return made


def _at(to: IPAddress, port: int, path: Path) -> _Address:
    if to.version == 4:
        return str(to), port
    return str(to), port, 0, path.ifindex if to.is_link_local else 0


async def _ping(to: IPAddress, path: Path) -> str:
    family = Family.of(to)
    number, token = secrets.randbits(16), secrets.token_bytes(16)
    protocol = socket.IPPROTO_ICMP if family is Family.IPV4 else socket.IPPROTO_ICMPV6
    with _socket(to, socket.SOCK_RAW, protocol, path) as raw:
        if family is Family.IPV4:
            raw.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFF_FFFF & ~1))  # echo reply: 0
        else:
            passing = [0xFFFF_FFFF] * 8
            passing[129 // 32] &= ~(1 << 129 % 32)
            raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *passing))
        request = messages.echo_request(family, number, token)
        return await _answer(
            raw,
            _at(to, 0, path),
            request,
            lambda p: "" if messages.is_echo_reply(family, p, number, token) else None,
        )


async def _answer(
    sock: socket.socket, at: _Address, message: bytes, read: Callable[[bytes], str | None]
) -> str:
    """Send a datagram, and wait for one that can be read as an answer. Raises OSError."""
    loop = asyncio.get_running_loop()
    passed("connect", at, sock.connect, at)
    await loop.sock_sendall(sock, message)
    while True:
        if (answer := read(await loop.sock_recv(sock, 2048))) is not None:
            return answer


async def _page(check: Check, host: str, sock: socket.socket) -> str:
    """Ask for it, and read the first line of the answer."""
    host = f"[{host}]" if ":" in host else host
    if check.port != (443 if check.tls else 80):
        host += f":{check.port}"
    request = messages.http_request(host, check.path)
    await _done(sock, lambda: sock.sendall(request))  # the buffer of a new connection has room for it
    answer = b""
    while b"\n" not in answer and len(answer) < _LINE:
        if not (more := await _done(sock, lambda: sock.recv(_LINE))):
            return "the connection was closed without an answer"
        answer += more
    return messages.http_failure(answer.partition(b"\n")[0], check.statuses)


async def _done(sock: socket.socket, work: Callable[[], _T]) -> _T:
    """Do something with a socket that does not block, as often as it has to wait first."""
    while True:
        try:
            return work()
        except ssl.SSLWantWriteError:
            await _may(sock, asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer)
        except (BlockingIOError, ssl.SSLWantReadError):
            await _may(sock, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)


async def _may(sock: socket.socket, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
    """Wait until it may be read, or written to."""
    ready = asyncio.get_running_loop().create_future()

    def is_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    add(sock.fileno(), is_ready)
    try:
        await ready
    finally:
        remove(sock.fileno())


@lru_cache(1)
def _context() -> ssl.SSLContext:
    """Trusts whom the system trusts."""
    return ssl.create_default_context()
