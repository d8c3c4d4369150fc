"""Functions to be run in a target (see by_hand.py): sockets of all kinds, and what became of them."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Final

from procroute.lab.patience import FACTOR
from procroute.lab.servers import WHO_PORT

TCP: Final = socket.SOCK_STREAM
UDP: Final = socket.SOCK_DGRAM
ANY: Final = {4: "0.0.0.0", 6: "::"}
SECONDS: Final = 0.4
"""Long enough for an answer that comes, short enough to wait for one that does not."""


@contextlib.contextmanager
def opened(family: int, kind: int, protocol: int = 0, wait: float = 2) -> Iterator[socket.socket]:
    """A socket with a timeout in seconds. family: 4 or 6."""
    with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind, protocol) as sock:
        sock.settimeout(wait * FACTOR)
        yield sock


def mark_of(sock: socket.socket) -> int:
    """The mark of a socket."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)


def mark_of_new(family: int, kind: int, protocol: int = 0) -> int:
    """The mark of a fresh socket."""
    with opened(family, kind, protocol) as sock:
        return mark_of(sock)


def mark_when_bound(family: int, address: str, kind: int = UDP) -> int:
    """The mark of a socket that is bound to an address."""
    with opened(family, kind) as sock:
        sock.bind((address, 0))
        return mark_of(sock)


def mark_when_listening(family: int) -> int:
    """The mark of a socket that listens on every address."""
    with opened(family, TCP) as sock:
        sock.listen()
        return mark_of(sock)


def ask(
    family: int, kind: int, address: str, *, source: str = "", device: str = "", wait: float = 2
) -> tuple[str, str]:
    """The router that a "who" question reached, and the source that it saw."""
    with opened(family, kind, wait=wait) as sock:
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if source:
            sock.bind((source, 0))
        sock.connect((address, WHO_PORT))
        if kind == UDP:
            sock.send(b"who")
        told = json.loads(sock.recv(200))
        return told["router"], told["client"]
