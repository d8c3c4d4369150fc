"""Who descends from whom, in which cgroup each is, and a signal that can meet nobody else (proc(5))."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from ctypes import c_ulong

from procroute.core.leaving import Member
from procroute.kernel import cgroup_mount
from procroute.kernel.libc import call
from procroute.kernel.process_stat import stat

_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans() -> None:
    """Have orphaned descendants become our children, not init's: they still lead to us (prctl(2))."""
    call("prctl", _SET_CHILD_SUBREAPER, c_ulong(1), c_ulong(0), c_ulong(0), c_ulong(0))


def descendants(roots: Iterable[int]) -> Iterator[int]:
    """All below these processes, without them. Those that come or go meanwhile may be missed."""
    by_parent = None if _has_children_file() else _by_parent()
    waiting = list(roots)
    seen = set(waiting)
    while waiting:
        pid = waiting.pop()
        for child in _children(pid) if by_parent is None else by_parent.get(pid, ()):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
                yield child


def member(pid: int) -> Member | None:
    """What is known of a process; None when it has ended, or is a zombie."""
    try:
        found = stat(pid)
        cgroup = cgroup_mount.of_process(pid)
    except OSError:
        return None
    return None if found.ended or cgroup is None else Member(pid, found.began, found.parent, cgroup)


def kill(pidfd: int) -> bool:
    """End a pinned process; whether it still was there."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _has_children_file() -> bool:
    """Whether the kernel has CONFIG_PROC_CHILDREN."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _children(pid: int) -> Iterator[int]:
    """The children of a process, of all of its threads."""
    folder = f"/proc/{pid}/task"
    try:
        # It has a link for each thread, and two more (fs/proc/base.c): most have one, and need no listing.
        threads = [str(pid)] if os.stat(folder).st_nlink == 3 else os.listdir(folder)
    except OSError:
        return
    for thread in threads:
        try:
            descriptor = os.open(f"{folder}/{thread}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        # Not by a file object, which takes as long again: this is asked of all of a tree, more than once.
        text = b""
        try:
            while more := os.read(descriptor, 1 << 16):
                text += more
        except OSError:
            continue
        finally:
            os.close(descriptor)
        yield from map(int, text.split())


def _by_parent() -> dict[int, list[int]]:
    """The same for all of the machine."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                parent = stat(int(name)).parent
            except OSError:
                continue
            found.setdefault(parent, []).append(int(name))
    return found
