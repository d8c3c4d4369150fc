"""Sockets that have done their work, kept open for a moment: to what comes late for one that is closed the
kernel answers by itself (a reset, port unreachable), and by the machine's own way. EFFECTS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import Final

_MOMENT: Final = 5.0
"""Seconds: far more than an answer takes that comes at all."""
_MOST: Final = 1024
"""So many wait at once; more, and the oldest are closed."""
_BUFFER: Final = 4096
"""Bytes that a socket takes in: the far end of one that is not read any more waits with the rest."""


class Parting:
    """Used in one loop's thread."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, socket.socket]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @staticmethod
    def prepare(sock: socket.socket) -> None:
        """To be called before it connects. Raises OSError."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    def leave(self, sock: socket.socket) -> None:
        """Close it soon; a connection's end is said now."""
        if sock.type == socket.SOCK_STREAM:
            with contextlib.suppress(OSError):  # it is none yet, or was broken off
                sock.shutdown(socket.SHUT_WR)
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + _MOMENT, sock))
        if len(self._waiting) > _MOST:
            self._waiting.popleft()[1].close()
        if self._timer is None:
            self._timer = loop.call_later(_MOMENT, self._close)

    def close(self) -> None:
        """Close all now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, sock in self._waiting:
            sock.close()
        self._waiting.clear()

    def _close(self) -> None:
        """Those whose moment is over; one look a second is enough."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting and self._waiting[0][0] <= loop.time():
            self._waiting.popleft()[1].close()
        if self._waiting:
            self._timer = loop.call_later(1.0, self._close)
