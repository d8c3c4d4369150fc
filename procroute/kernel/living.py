"""What /proc says of living processes (proc(5)): those of programs, neither threads nor the kernel's own.

Each is read by one descriptor of its folder, which stays that process's whoever gets its number.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from procroute.core.census import Living
from procroute.kernel import process_stat
from procroute.kernel.cgroup_mount import named_in
from procroute.kernel.process_facts import WORDS, words_of

_SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_HIDING: Final = "hidepid="
_NOT_HIDING: Final = frozenset({"0", "off"})


def living(pid: int) -> Living | None:
    """A process by its number; None where nobody has it, or one that is none or has ended.

    Raises OSError where that cannot be told for want of descriptors or memory.
    """
    try:
        folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _living(pid, folder)
        finally:
            os.close(folder)
    except OSError as e:
        if e.errno in _SHORT:
            raise
        return None


def everybody() -> Iterator[Living]:
    """All of them; 70 µs each. Raises OSError as `living`."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and (found := living(int(name))) is not None:
            yield found


def user_of(pid: int) -> tuple[int, int, int] | None:
    """The real, effective and saved uid of a process; None where there is none."""
    try:
        return _uids(Path(f"/proc/{pid}/status").read_bytes())
    except OSError:
        return None


def hidden() -> bool:
    """Whether this machine hides processes from users whose they are not (proc(5), hidepid).

    By PID 1's mount of /proc: each may have options of its own (Linux 5.8), and a unit's (ProtectProc=) says
    nothing of users. By ours where that cannot be read.
    """
    try:
        return _hides("/proc/1/mountinfo")
    except OSError:
        return _hides("/proc/self/mountinfo")


def _hides(mounts: str) -> bool:
    for line in Path(mounts).read_bytes().splitlines():
        before, _, after = line.decode(errors="replace").partition(" - ")
        kind, *rest = after.split(" ")
        if kind == "proc" and before.split(" ")[4] == "/proc":
            options = rest[-1].split(",")
            told = [o.removeprefix(_HIDING) for o in options if o.startswith(_HIDING)]
            if told and told[-1] not in _NOT_HIDING:
                return True
    return False


def _living(pid: int, folder: int) -> Living | None:
    found = process_stat.parsed(_read("stat", folder))
    if found.of_kernel or (found.ended and len(os.listdir(f"/proc/{pid}/task")) <= 1):
        return None
    uids = _uids(_read("status", folder))
    return Living(
        pid=pid,
        began=found.began,
        parent=found.parent,
        uids=uids,
        name=found.name,
        command=words_of(_read("cmdline", folder, WORDS)),
        cgroup=named_in(_read("cgroup", folder, 1 << 16)) or "",
    )


def _uids(status: bytes) -> tuple[int, int, int]:
    at = status.index(b"\nUid:\t") + 6
    real, effective, saved = status[at : status.index(b"\n", at)].split()[:3]
    return int(real), int(effective), int(saved)


def _read(name: str, folder: int, size: int = 4096) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)
