"""A terminal without a person: what runs in it is typed to, and what it draws is read at once and forgotten.

with PtyScreen(160, 48) as screen:
    process = subprocess.Popen(words, **screen.streams)
    seconds = screen.until("j", "\\u258c")
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import termios
import time
from types import TracebackType
from typing import Any, Final, Self

_PAUSE: Final = 0.05
"""Seconds without a byte between two pictures."""


class PtyScreen:
    """streams: for whoever is to run in it. drawn: bytes so far; pictures: how often, a pause before each."""

    def __init__(self, columns: int, rows: int) -> None:
        self._master, self._slave = os.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.streams: dict[str, Any] = {"stdin": self._slave, "stdout": self._slave, "stderr": self._slave}
        self.drawn = self.pictures = 0
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._master)
        os.close(self._slave)

    def type(self, keys: str) -> None:
        """Press these."""
        os.write(self._master, keys.encode())

    def read(self, seconds: float) -> bytes:
        """What is drawn within so many seconds; as soon as there is any."""
        if not select.select([self._master], [], [], seconds)[0]:
            return b""
        found = b""
        with contextlib.suppress(OSError):
            found = os.read(self._master, 1 << 16)
        now = time.monotonic()
        if now - self._last > _PAUSE:
            self.pictures += 1
        self.drawn, self._last = self.drawn + len(found), now
        return found

    def rest(self, seconds: float) -> None:
        """Read on for so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)

    def until(self, keys: str, text: str, seconds: float = 10) -> float:
        """Press keys, and wait until something is drawn with this text; how many seconds that took.

        Raises TimeoutError.
        """
        sought, seen = text.encode(), b""
        began = time.perf_counter()
        self.type(keys)
        while time.perf_counter() - began < seconds:
            seen += self.read(0.5)
            if sought in seen:
                return time.perf_counter() - began
        raise TimeoutError(f"{text!r} was not drawn after {keys!r}, but {seen[-400:]!r}")
