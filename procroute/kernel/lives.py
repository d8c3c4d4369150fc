"""News of every process that is born, becomes another (program, name, cgroup, user) or ends.

The kernel tells at raw tracepoints (bpf/lives.bpf.c), so that nobody has to look again and again. That
somebody becomes another user has no tracepoint: it is heard where the kernel lets a program run at a function
of its own (fentry, of x86-64 since Linux 5.5, of arm64 since 6.0).
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import Final

from procroute.core.census import Life
from procroute.errors import ProcrouteError
from procroute.kernel import libbpf
from procroute.kernel.bpf import objects
from procroute.kernel.bpf.catalogue import object_path
from procroute.kernel.bpf.support import switched_off
from procroute.kernel.ring import Ring

_HOOKS: Final = (
    ("pr_over", "sched_process_exit"),
    ("pr_born", "sched_process_fork"),
    ("pr_executed", "sched_process_exec"),
    ("pr_renamed", "task_rename"),
    ("pr_placed", "cgroup_attach_task"),
)
_USER: Final = "pr_user"
_CFG: Final = struct.Struct("=QII")
_LIFE: Final = struct.Struct("=IIQ")
_FIRST: Final = struct.pack("=I", 0)
_ENDED: Final = 3


class Lives:
    """A descriptor for poll(2) that is readable when there is news. For one thread at a time.

    tells_users: also of who becomes another user.
    """

    def __init__(self, *, users: bool = True) -> None:
        """Raises OSError or ProcrouteError where the kernel, or what is missing, does not let us."""
        space = os.stat("/proc/self/ns/pid")
        device = os.major(space.st_dev) << 20 | os.minor(space.st_dev)  # as in the kernel, MKDEV()
        with contextlib.ExitStack() as undo:
            self._object = undo.enter_context(objects.Object(object_path("lives")))
            self._object.preset(".rodata", _CFG.pack(device, space.st_ino, os.getpid()))
            if not users:
                self._object.without(_USER)
            self._object.load()
            self._untold = self._object.map("untold", 4, 8)
            self._ring = undo.enter_context(contextlib.closing(Ring(self._object.map("lives", 0, 0))))
            hooks = [*_HOOKS, (_USER, "")] if users else _HOOKS
            self._hooks: list[int] = []
            for program, tracepoint in hooks:
                hook = libbpf.attach_raw_tracepoint(self._object.program(program), tracepoint)
                undo.callback(os.close, hook)
                self._hooks.append(hook)
            self._before = self._missed()
            undo.pop_all()
        self.tells_users = users

    def fileno(self) -> int:
        """For poll(2)."""
        return self._ring.fileno()

    def read(self) -> list[Life] | None:
        """What was told since the last time; None: not all of it could be told. Raises OSError."""
        told = [_LIFE.unpack(data) for data in self._ring.read()]
        missed = self._missed()
        if missed != self._before:
            self._before = missed
            return None
        return [Life(pid, began, ended=what == _ENDED) for pid, what, began in told]

    def close(self) -> None:
        """Listen no longer."""
        while self._hooks:
            os.close(self._hooks.pop())
        self._ring.close()
        self._object.close()

    def _missed(self) -> bytes | None:
        return self._untold.get(_FIRST)


def listen() -> Lives | None:
    """Listen; None where that cannot be had (the kernel has no BTF, or no BPF), or BPF is not wanted."""
    if switched_off():
        return None
    for users in (True, False):
        with contextlib.suppress(OSError, ProcrouteError):
            return Lives(users=users)
    return None
