"""Which processes have a tun or tap device open: those that speak for the tunnel.

/proc/PID/fdinfo of /dev/net/tun says which device it is (drivers/net/tun.c, tun_chr_show_fdinfo); in which
network namespace that is, the file itself tells (TUNGETDEVNETNS, Linux 5.1).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Collection, Iterator

from procroute.kernel.libc import call

_DEVICE = "/dev/net/tun"
_PIDFD_GETFD = 438  # asm-generic/unistd.h
_GET_NAMESPACE = 0x54E3  # linux/if_tun.h, TUNGETDEVNETNS: _IO('T', 227)


def owners(names: Collection[str]) -> dict[str, list[int]]:
    """By the names of devices of our network namespace, the processes that have them open, by their PIDs.

    A process that ends meanwhile, or that may not be looked at, is passed over. Every open file of everybody
    is looked at: about 2 µs each.
    """
    found: dict[str, list[int]] = {name: [] for name in names}
    own = os.stat("/proc/self/ns/net").st_ino
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        with contextlib.suppress(OSError):
            for descriptor in _open_tuns(pid):
                name = _name(pid, descriptor)
                if name in found and pid not in found[name] and _is_in(pid, descriptor, own):
                    found[name].append(pid)
    return found


def has_open(pid: int, name: str) -> bool:
    """Whether a process has a device of this name open."""
    try:
        return any(_name(pid, descriptor) == name for descriptor in _open_tuns(pid))
    except OSError:
        return False


def _open_tuns(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    for descriptor in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(f"{folder}/{descriptor}") == _DEVICE:
                yield descriptor


def _name(pid: int, descriptor: str) -> str:
    """The device of an open /dev/net/tun; empty: none yet."""
    with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="utf-8", errors="surrogateescape") as told:
        lines = [line.partition("\t") for line in told]
    return next((value.rstrip("\n") for key, _, value in lines if key == "iff:"), "")


def _is_in(pid: int, descriptor: str, namespace: int) -> bool:
    """Whether the device of an open file is in a network namespace, by its inode; so it is where the kernel
    cannot or will not tell. Raises OSError where the process has ended, or closed it."""
    pidfd = os.pidfd_open(pid)
    try:
        taken = call("syscall", _PIDFD_GETFD, pidfd, int(descriptor), 0)
    except OSError as e:
        if e.errno in (errno.ESRCH, errno.EBADF):
            raise
        return True
    finally:
        os.close(pidfd)
    try:
        there = fcntl.ioctl(taken, _GET_NAMESPACE)
    except OSError:
        return True
    finally:
        os.close(taken)
    try:
        return os.fstat(there).st_ino == namespace
    finally:
        os.close(there)
