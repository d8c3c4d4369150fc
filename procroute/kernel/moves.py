"""News that processes were moved to another cgroup, anywhere on the machine: that, and not which.

A raw tracepoint wakes us (kernel/cgroup/cgroup.c, cgroup_attach_task: after the move, not at fork), so that
nothing has to be looked at again and again. It needs no BTF of the kernel.
"""

from __future__ import annotations

import contextlib
import os

from procroute.errors import ProcrouteError
from procroute.kernel import libbpf
from procroute.kernel.bell import Bell
from procroute.kernel.bpf import objects
from procroute.kernel.bpf.catalogue import object_path
from procroute.kernel.bpf.support import switched_off

_TRACEPOINT = "cgroup_attach_task"


class Moves:
    """A descriptor for poll(2) that is readable when something was moved since the last read()."""

    def __init__(self) -> None:
        """Raises OSError or ProcrouteError where the kernel, or what is missing, does not let us."""
        with contextlib.ExitStack() as undo:
            self._object = undo.enter_context(objects.Object(object_path("moves")))
            self._object.load()
            self._bell = undo.enter_context(contextlib.closing(Bell(self._object.map("moves", 0, 0))))
            self._hook = libbpf.attach_raw_tracepoint(self._object.program("pr_moved"), _TRACEPOINT)
            undo.pop_all()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._bell.fileno()

    def read(self) -> bool:
        """Whether something was moved since the last time."""
        return self._bell.read()

    def close(self) -> None:
        """Listen no longer."""
        os.close(self._hook)
        self._bell.close()
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
