"""News that processes were moved to another cgroup, anywhere on the machine: that, and not which.

A raw tracepoint wakes us (kernel/cgroup/cgroup.c, cgroup_attach_task: after the move, not at fork), so that
nothing has to be looked at again and again. It needs no BTF of the kernel.
"""

from __future__ import annotations

import contextlib
import mmap
import os

from procroute.errors import ProcrouteError
from procroute.kernel import libbpf
from procroute.kernel.bpf.catalogue import object_path
from procroute.kernel.bpf.support import switched_off

_TRACEPOINT = "cgroup_attach_task"
_POSITION = 8  # unsigned long at the start of a page (kernel/bpf/ringbuf.c, struct bpf_ringbuf)


class Moves:
    """A descriptor for poll(2) that is readable when something was moved since the last read()."""

    def __init__(self) -> None:
        """Raises OSError or ProcrouteError where the kernel, or what is missing, does not let us."""
        with contextlib.ExitStack() as undo:
            self._object = undo.enter_context(libbpf.Object(object_path("moves")))
            self._object.load()
            self._ring = self._object.map("moves", 0, 0).fileno()
            page = mmap.PAGESIZE
            # The page of what is read is ours to write, the one of what is written is not.
            self._read = undo.enter_context(mmap.mmap(self._ring, page))
            self._written = undo.enter_context(mmap.mmap(self._ring, page, prot=mmap.PROT_READ, offset=page))
            self._hook = libbpf.attach_raw_tracepoint(self._object.program("pr_moved"), _TRACEPOINT)
            undo.pop_all()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._ring

    def read(self) -> bool:
        """Whether something was moved since the last time."""
        written = self._written[:_POSITION]
        if written == self._read[:_POSITION]:
            return False
        self._read[:_POSITION] = written
        return True

    def close(self) -> None:
        """Listen no longer."""
        os.close(self._hook)
        self._read.close()
        self._written.close()
        self._object.close()


def listen() -> Moves | None:
    """Listen; None where that cannot be had or BPF is not wanted: then one has to look from time to time."""
    if switched_off():
        return None
    try:
        return Moves()
    except (OSError, ProcrouteError):
        return None


def can_be_heard() -> bool:
    """Whether the kernel lets us listen."""
    heard = listen()
    if heard is not None:
        heard.close()
    return heard is not None
