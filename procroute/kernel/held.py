"""Which sockets processes hold, by the links in /proc/PID/fd (proc(5))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator

_SOCKET = "socket:["


def sockets_of(pid: int) -> dict[int, int]:
    """The sockets that a process holds: inode -> one of its descriptors. None when it has gone.

    Threads that have descriptors of their own (unshare(2), CLONE_FILES) are not looked at, unless the first
    one has ended.
    """
    return dict(_of(pid))


def everybodys(but: Collection[int] = ()) -> dict[int, set[int]]:
    """Every socket of the machine that another process than this one and those holds: inode -> PIDs.

    This one has others' in hand for a moment only, to look at them (taking.py).
    Looks at every process: about 10 µs each, and 2 µs for each of its files.
    """
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    return holders_among(pid for pid in pids if pid != os.getpid() and pid not in but)


def holders_among(pids: Iterable[int]) -> dict[int, set[int]]:
    """The sockets that these processes hold: inode -> PIDs."""
    found: dict[int, set[int]] = {}
    for pid in pids:
        for inode, _ in _of(pid):
            found.setdefault(inode, set()).add(pid)
    return found


def _of(pid: int) -> Iterable[tuple[int, int]]:
    found = _links(f"/proc/{pid}/fd")
    return _of_threads(pid) if found is None else found


def _of_threads(pid: int) -> Iterator[tuple[int, int]]:
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            if int(thread) != pid:
                yield from _links(f"/proc/{pid}/task/{thread}/fd") or ()
                return


def _links(folder: str) -> list[tuple[int, int]] | None:
    """The sockets among the descriptors in a folder of /proc: inode, descriptor. None: nothing is open."""
    found: list[tuple[int, int]] = []
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        names = os.listdir(directory)
        for name in names:
            try:
                link = os.readlink(name, dir_fd=directory)
            except OSError:
                continue
            if link.startswith(_SOCKET):
                found.append((int(link[len(_SOCKET) : -1]), int(name)))
    except OSError:
        return found
    finally:
        os.close(directory)
    return found if names else None
