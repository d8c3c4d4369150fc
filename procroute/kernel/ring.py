"""A ring buffer of BPF's: what programs have put there, in order."""

from __future__ import annotations

import ctypes
import errno

from procroute.kernel import libbpf
from procroute.kernel.bpf import objects


class Ring:
    """A descriptor for poll(2) that is readable when something was put there since the last read().

    ring: stays its owner's. Raises OSError.
    """

    def __init__(self, ring: objects.Map) -> None:
        self._ring = ring.fileno()
        self._found: list[bytes] = []
        self._take = libbpf.TAKE(self._taken)  # must live as long as the library may call it
        self._handle = libbpf.library().ring_buffer__new(self._ring, self._take, None, None)
        if not self._handle:
            raise OSError(ctypes.get_errno() or errno.ENOMEM, "open a ring buffer")

    def fileno(self) -> int:
        """For poll(2)."""
        return self._ring

    def read(self) -> list[bytes]:
        """What was put there since the last time. Raises OSError."""
        result = libbpf.library().ring_buffer__consume(self._handle)
        found, self._found = self._found, []
        if result < 0:
            raise OSError(-result, "read a ring buffer")
        return found

    def close(self) -> None:
        """Listen no longer."""
        if self._handle:
            libbpf.library().ring_buffer__free(self._handle)
            self._handle = None

    def _taken(self, _context: int, data: int, size: int) -> int:
        self._found.append(ctypes.string_at(data, size))
        return 0
