"""Who executes something, from /proc while the kernel holds him (proc(5)). Imports little."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

_FAR = 16
"""How many parents are looked at."""


class Executing(NamedTuple):
    """A process. began: clock ticks since boot, tells PIDs apart. uids: real and effective."""

    pid: int
    began: int
    parent: int
    uids: tuple[int, int]


def executing(pid: int) -> Executing | None:
    """Who has a number now; None: nobody."""
    try:
        parent, began = _parent_and_start(pid)
        status = _read(f"/proc/{pid}/status")
    except OSError:
        return None
    line = next(line for line in status.splitlines() if line.startswith(b"Uid:"))
    real, effective = line.split()[1:3]
    return Executing(pid, began, parent, (int(real), int(effective)))


def program(pid: int) -> str:
    """The path of what a process runs; empty: it has ended, or is a kernel thread."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def parents(one: Executing) -> Iterator[tuple[int, int]]:
    """The parent, its parent and so on, each as PID and start time, as far as they can be seen."""
    above = one.parent
    for _ in range(_FAR):
        if above <= 1:
            return
        try:
            parent, began = _parent_and_start(above)
        except OSError:
            return
        yield above, began
        above = parent


def began(pid: int) -> int:
    """When a process began; 0: there is none."""
    try:
        return _parent_and_start(pid)[1]
    except OSError:
        return 0


def _parent_and_start(pid: int) -> tuple[int, int]:
    # The name may hold anything, brackets and blanks too.
    words = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split(None, 20)
    return int(words[1]), int(words[19])


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
