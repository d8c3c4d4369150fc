"""The daemon, as the holder hears and tells it: nobody waits for it."""

from __future__ import annotations

import collections
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

from procroute.holder import words
from procroute.kernel.executing import Executing, began, parents

_CREDENTIALS: Final = struct.Struct("3i")
_ROOM: Final = 1 << 20
"""Bytes that may lie in the socket before we keep them."""
_SO_SNDBUFFORCE: Final = 32


class Peer:
    """A connection. silent: it has let an exec wait for too long, and said nothing since."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unsent: collections.deque[bytes] = collections.deque()
        self.silent = False
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ROOM)
        self.pid, self.uid, _ = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        self._began = began(self.pid)

    def fileno(self) -> int:
        """For poll(2)."""
        return self._connection.fileno()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    @property
    def behind(self) -> bool:
        """Whether something is to be sent as soon as there is room."""
        return bool(self._unsent)

    def tell(self, say: str, **what: Any) -> None:
        """Say something, now or when there is room; to nobody, where he has hung up: `hear` tells that, after
        what he said last."""
        self._unsent.append(words.encode(say, **what))
        self.send()

    def send(self) -> None:
        """Send what is left, as far as there is room."""
        while self._unsent:
            try:
                self._connection.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError:
                self._unsent.clear()
                return
            self._unsent.popleft()

    def hear(self) -> Iterator[dict[str, Any]]:
        """What it has said. Raises EOFError when it has hung up, OSError, ValueError."""
        while True:
            try:
                packet = self._connection.recv(words.ROOM)
            except BlockingIOError:
                return
            except ConnectionResetError:
                continue  # told once, of who has not read all; what he has said is still there (unix(7))
            if not packet:
                raise EOFError
            self.silent = False
            yield words.decode(packet)

    def started(self, who: Executing) -> bool:
        """Whether a process descends from the daemon: the daemon may be waiting for it."""
        me = (self.pid, self._began)
        return (who.pid, who.began) == me or me in parents(who)
