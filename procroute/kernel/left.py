"""Who descends from an assignment's processes, and news that some of them are in no assignment's cgroup.

BPF keeps them by number, from fork to exit, at raw tracepoints (bpf/left.bpf.c). So nobody has to be their
parent to know them, nor to look again and again. Nothing is hooked while nothing is kept.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Final

from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, libbpf
from procroute.kernel.bell import Bell
from procroute.kernel.bpf import objects
from procroute.kernel.bpf.catalogue import object_path
from procroute.kernel.bpf.support import switched_off
from procroute.kernel.pinned import Known, identify

_HOOKS: Final = (
    ("pr_ended", "sched_process_exit"),
    ("pr_forked", "sched_process_fork"),
    ("pr_moved", "cgroup_attach_task"),
)
_BTF: Final = "/sys/kernel/btf/vmlinux"  # CONFIG_DEBUG_INFO_BTF
_CFG: Final = struct.Struct("=QII")
_PID, _KEY, _MEMBER = struct.Struct("=I"), struct.Struct("=Q"), struct.Struct("=QQ")
_ENDING: Final = struct.Struct("=QIIiI")
_PASSES: Final = 50


class Left:
    """A descriptor for poll(2) that is readable when an assignment was left. Keys are those of whoever asks.

    read() may be called in another thread than the rest.
    """

    def __init__(self) -> None:
        """Raises OSError or ProcrouteError where the kernel, or what is missing, does not let us."""
        space = os.stat("/proc/self/ns/pid")
        device = os.major(space.st_dev) << 20 | os.minor(space.st_dev)  # as in the kernel, MKDEV()
        with contextlib.ExitStack() as undo:
            self._object = undo.enter_context(objects.Object(object_path("left")))
            self._object.preset(".rodata", _CFG.pack(device, space.st_ino, os.getpid()))
            self._object.load()
            self._places = self._object.map("places", _KEY.size, _KEY.size)
            self._members = self._object.map("members", _PID.size, _MEMBER.size)
            self._left = self._object.map("left", _KEY.size, _KEY.size)
            self._endings = self._object.map("endings", _KEY.size, _ENDING.size)
            self._bell = undo.enter_context(contextlib.closing(Bell(self._object.map("bell", 0, 0))))
            self._hooks: list[int] = []
            self._ids: dict[int, int] = {}
            self._around: dict[int, int] = {}
            self._hook()
            self._unhook()
            undo.pop_all()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._bell.fileno()

    def read(self) -> bool:
        """Take in that there is news; whether there is."""
        return self._bell.read()

    def close(self) -> None:
        """Keep nobody any more."""
        self._unhook()
        self._bell.close()
        self._object.close()

    def keep(self, path: Path, key: int) -> None:
        """Keep who is in a cgroup, or comes there, and all who descend from these. Raises OSError."""
        if not self._make_place(self._ids, path, key):
            return
        # Who comes from now on is kept at once; who forks before it is kept itself is met by another look.
        # No number comes to be another's between two looks.
        seen: set[int] = {0}
        for _ in range(_PASSES):
            new = {pid for pid, _ in cgroups.processes(path)} - seen
            if not new:
                return
            for one in filter(None, map(identify, new)):
                self._members.set(_PID.pack(one.pid), _MEMBER.pack(key, one.began))
            seen |= new

    def keep_around(self, path: Path, key: int) -> None:
        """Keep by this key who comes to a cgroup from now on, but to none within that has a key of its own;
        until the last of those that it was kept around is dropped. Raises OSError."""
        self._make_place(self._around, path, key)

    def expect(self, key: int, first: Known) -> None:
        """Note how this process of a cgroup that is kept will end. Raises OSError."""
        self._endings.set(_KEY.pack(key), _ENDING.pack(first.began, first.pid, 0, 0, 0))

    def status(self, key: int) -> int | None:
        """How the process that was expected has ended, as wait(2) tells; None: not that is known."""
        found = self._endings.get(_KEY.pack(key))
        if found is None:
            return None
        _began, _pid, ended, status, _ = _ENDING.unpack(found)
        return status if ended else None

    def drop(self, key: int) -> None:
        """A cgroup is none to come to any more; who was in it and lives elsewhere is kept."""
        self._endings.delete(_KEY.pack(key))
        found = self._ids.pop(key, None)
        if found is not None:
            self._places.delete(_KEY.pack(found))
        around = self._around.pop(key, None)
        if around is None:
            return
        for other, place in self._around.items():
            if place == around:
                self._places.set(_KEY.pack(around), _KEY.pack(other))
                return
        self._places.delete(_KEY.pack(around))

    def rest(self) -> None:
        """Keep nobody where there is no cgroup to come to, until there is one."""
        if self._hooks and not self._ids:
            self._unhook()
            for number in self._members.items():
                self._members.delete(number)

    def news(self) -> list[int]:
        """The keys of those that were left since the last time."""
        keys = list(self._left.items())
        for key in keys:
            self._left.delete(key)
        return [_KEY.unpack(key)[0] for key in keys]

    def members(self, key: int) -> list[Known]:
        """Who was last in the cgroup of this key, or descends from there; the living, wherever they are."""
        found = []
        for number, kept in self._members.items().items():
            of, began = _MEMBER.unpack(kept)
            if of == key:
                found.append(Known(_PID.unpack(number)[0], began))
        return found

    def let_be(self, pid: int) -> None:
        """Keep a process no longer, nor who descends from it from now on."""
        self._members.delete(_PID.pack(pid))

    def _make_place(self, places: dict[int, int], path: Path, key: int) -> bool:
        """Have a cgroup be a place to come to, and note its inode. False: it has gone. Raises OSError."""
        if not self._hooks:
            self._hook()
        try:
            places[key] = os.stat(path).st_ino
        except FileNotFoundError:
            return False
        self._places.set(_KEY.pack(places[key]), _KEY.pack(key))
        return True

    def _hook(self) -> None:
        try:
            for program, tracepoint in _HOOKS:
                self._hooks.append(libbpf.attach_raw_tracepoint(self._object.program(program), tracepoint))
        except OSError:
            self._unhook()
            raise

    def _unhook(self) -> None:
        while self._hooks:
            os.close(self._hooks.pop())


def listen() -> Left | None:
    """Listen; None where that cannot be had (the kernel has no BTF, or no BPF), or BPF is not wanted."""
    if switched_off():
        return None
    try:
        return Left()
    except (OSError, ProcrouteError):
        return None


def can_be_heard() -> bool:
    """Whether the kernel has what it takes; not tried, which takes long where it has."""
    return not switched_off() and os.path.exists(_BTF)
