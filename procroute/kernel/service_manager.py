"""Systemd as who has started us: what it is told, and the socket that it gives. EFFECTS.

Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Nothing here fails where nobody listens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Final

_FIRST_FD: Final = 3  # SD_LISTEN_FDS_START


class ServiceManager:
    """Read from the environment once, and taken out of it: our children are not the service.

    pause: seconds between two words that we live, half of what it waits for; None: it asks for none.
    """

    def __init__(self) -> None:
        taken = {
            name: os.environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        }
        self._path = taken["NOTIFY_SOCKET"].replace("@", "\0", 1)
        ours = taken["WATCHDOG_PID"] in ("", str(os.getpid()))
        microseconds = taken["WATCHDOG_USEC"]
        asked = self._path and ours and microseconds.isdecimal() and int(microseconds) > 0
        self.pause: float | None = int(microseconds) / 2e6 if asked else None

    def ready(self, status: str = "") -> None:
        """All is served, from now on or again."""
        self._say("READY=1", *([f"STATUS={status}"] if status else []))

    def reloading(self) -> None:
        """The configuration is being read; `ready` follows."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It ends."""
        self._say("STOPPING=1")

    def alive(self) -> None:
        """For the watchdog."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._path:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(self._path)
            sock.send("\n".join(lines).encode())


def gives_sockets() -> bool:
    """Whether sockets were given to us, and not taken yet."""
    return os.environ.get("LISTEN_PID") == str(os.getpid())


def given_socket(path: Path) -> socket.socket | None:
    """The listening stream socket at that path, if it was given to us; others that were are closed."""
    mine = gives_sockets()
    os.environ.pop("LISTEN_PID", None)
    count = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    found: socket.socket | None = None
    for descriptor in range(_FIRST_FD, _FIRST_FD + int(count)) if mine and count.isdecimal() else ():
        os.set_inheritable(descriptor, False)
        given = socket.socket(fileno=descriptor)
        at = given.getsockname() if given.family == socket.AF_UNIX else ""
        if found is None and at == str(path) and given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found = given
        else:
            given.close()
    return found
