"""A connection to the daemon that carries frames (docs/protocol.md): bytes in, bytes out, and no types yet.

`procroute run` goes through here on its quick way, so nothing is imported that takes long: `_socket` and not
socket, no struct, and the limits are written here anew (a test compares them with protocol).
"""

from __future__ import annotations

import _socket
import os
from time import monotonic, sleep

from procroute.client import failures
from procroute.places import SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

TIMEOUT: Final = 30.0
"""Seconds in which the daemon answers, or something is wrong with it."""
REQUEST_LIMIT: Final = 1 << 18
REPLY_LIMIT: Final = 1 << 26
HEAD: Final = 4
"""Bytes of a frame's length, the highest first."""
PATIENCE: Final = 0.005
"""Seconds between two attempts while the daemon has more callers than it can take."""
_CHUNK: Final = 1 << 16


def place() -> str:
    """The socket: PROCROUTE_SOCKET names another one than the usual."""
    return os.environ.get("PROCROUTE_SOCKET") or SOCKET


def attempt(path: str) -> _socket.socket | None:
    """A connected socket that does not block, or None where too many are waiting (EAGAIN, unix(7)).

    Raises ProcrouteError daemon-missing and not-permitted.
    """
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(path)
    except BlockingIOError:
        sock.close()
        return None
    except OSError as e:
        sock.close()
        raise failures.unreachable(path, e) from e
    return sock


def framed(text: bytes) -> bytes:
    """The JSON of a request as it is sent. Raises ProcrouteError frame-too-large."""
    if len(text) > REQUEST_LIMIT:
        raise failures.too_large(len(text), REQUEST_LIMIT)
    return len(text).to_bytes(HEAD, "big") + text


def size_of(head: bytes | bytearray) -> int:
    """How many bytes follow a frame's head. Raises ProcrouteError protocol where that cannot be."""
    size = int.from_bytes(head[:HEAD], "big")
    if size > REPLY_LIMIT:
        raise failures.flood(size)
    return size


class Connection:
    """A connection that is used by one thread at a time. timeout: seconds, for each of connect and send.

    Raises ProcrouteError daemon-missing, not-permitted and daemon-silent. After any error it is closed.
    """

    def __init__(self, path: str | None = None, timeout: float = TIMEOUT) -> None:
        self._path = path or place()
        self._timeout = timeout
        self._received = bytearray()
        self._socket = self._connect()

    def _connect(self) -> _socket.socket:
        deadline = monotonic() + self._timeout
        while (sock := attempt(self._path)) is None:
            if monotonic() > deadline:
                raise failures.silent(self._timeout)
            sleep(PATIENCE)
        return sock

    def fileno(self) -> int:
        """Its descriptor; -1 when it is closed."""
        return self._socket.fileno()

    def has_frame(self) -> bool:
        """Whether the next frame is here already, as a whole."""
        size = int.from_bytes(self._received[:HEAD], "big")
        return len(self._received) >= HEAD + size

    def send(self, frame: bytes) -> None:
        """Send all of a frame. Raises ProcrouteError daemon-silent.

        Where the daemon has hung up nothing is raised: what it said before can still be received.
        """
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(frame)
        except TimeoutError as e:
            self.close()
            raise failures.silent(self._timeout) from e
        except OSError:
            return

    def receive(self, timeout: float | None) -> bytes:
        """The JSON of the next frame, which has to be there within so many seconds; None: whenever it comes.

        Raises ProcrouteError daemon-silent, daemon-lost, and protocol for a frame of an impossible size.
        """
        deadline = None if timeout is None else monotonic() + timeout
        self._fill(HEAD, timeout, deadline)
        try:
            end = HEAD + size_of(self._received)
        except Exception:
            self.close()
            raise
        self._fill(end, timeout, deadline)
        text = bytes(self._received[HEAD:end])
        del self._received[:end]
        return text

    def close(self) -> None:
        """Hang up. Twice is fine."""
        self._socket.close()

    def _fill(self, size: int, timeout: float | None, deadline: float | None) -> None:
        """Receive until so many bytes are there."""
        while len(self._received) < size:
            try:
                self._socket.settimeout(None if deadline is None else max(deadline - monotonic(), 0.001))
                some = self._socket.recv(_CHUNK)
            except TimeoutError as e:
                self.close()
                raise failures.silent(timeout or 0) from e
            except OSError as e:
                self.close()
                raise failures.lost() from e
            if not some:
                self.close()
                raise failures.lost()
            self._received += some
