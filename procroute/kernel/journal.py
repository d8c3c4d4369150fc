"""The journal of systemd, when it has our stderr. EFFECTS.

Sources: systemd.exec(5), $JOURNAL_STREAM; https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

SOCKET: Final = "/run/systemd/journal/socket"


def has(descriptor: int) -> bool:
    """Whether what is written to a descriptor ends in the journal."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def send(fields: Mapping[str, str]) -> bool:
    """One entry; whether the journal has taken it. Names of fields: capitals, digits and underscores."""
    message = b"".join(_encoded(name, value) for name, value in fields.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        return sock.sendto(message, SOCKET) == len(message)
    return False


def _encoded(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
