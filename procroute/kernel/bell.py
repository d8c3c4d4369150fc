"""A ring buffer of BPF's that only rings: that something happened, and not what."""

from __future__ import annotations

import contextlib
import mmap

from procroute.kernel.bpf import objects

_POSITION = 8  # unsigned long at the start of a page (kernel/bpf/ringbuf.c, struct bpf_ringbuf)


class Bell:
    """A descriptor for poll(2) that is readable when something was written since the last read()."""

    def __init__(self, ring: objects.Map) -> None:
        """ring: a ring buffer, which stays its owner's. Raises OSError."""
        page = mmap.PAGESIZE
        self._ring = ring.fileno()
        with contextlib.ExitStack() as undo:
            # The page of what is read is ours to write, the one of what is written is not.
            self._read = undo.enter_context(mmap.mmap(self._ring, page))
            self._written = mmap.mmap(self._ring, page, prot=mmap.PROT_READ, offset=page)
            undo.pop_all()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._ring

    def read(self) -> bool:
        """Whether something was written since the last time."""
        written = self._written[:_POSITION]
        if written == self._read[:_POSITION]:
            return False
        self._read[:_POSITION] = written
        return True

    def close(self) -> None:
        """Listen no longer."""
        self._read.close()
        self._written.close()
