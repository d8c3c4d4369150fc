"""A mount namespace of its own for a launched command, in which its look-ups have one way only.

nss-resolve and nscd are asked over Unix sockets, which neither mark nor guard can see; with /dev/null in
their place connects are refused and glibc goes on to port 53 (nsswitch.conf(5), nss-resolve(8)).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from procroute.identity import RUN_DIRECTORY
from procroute.kernel.resolvers import RESOLV_CONF

_NEW_NAMESPACE = 0x0002_0000  # linux/sched.h
_BIND, _RECURSIVE, _SLAVE, _DETACH = 0x1000, 0x4000, 0x80000, 0x2  # linux/mount.h
_SOCKETS = (
    "/run/nscd/socket",
    "/var/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
)


def private_lookups(resolv_conf: str) -> None:
    """Leave for a mount namespace with this resolv.conf, in which the sockets of name services are closed.

    Mounts made outside still arrive there. Raises OSError.
    """
    _call("unshare", ctypes.c_int(_NEW_NAMESPACE))
    _mount(None, "/", None, _RECURSIVE | _SLAVE)
    for path in sorted({os.path.realpath(p) for p in _SOCKETS if os.path.exists(p)}):
        _mount("/dev/null", path, None, _BIND)
    if RESOLV_CONF.exists():
        # A file to bind from, that nobody has to remove: its file system is gone from view right after.
        _mount("tmpfs", RUN_DIRECTORY, "tmpfs", 0)
        file = Path(RUN_DIRECTORY) / "resolv.conf"
        file.write_text(resolv_conf)
        file.chmod(0o644)
        _mount(str(file), str(RESOLV_CONF), None, _BIND)
        _call("umount2", RUN_DIRECTORY.encode(), ctypes.c_int(_DETACH))


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    words = (None if w is None else os.fsencode(w) for w in (source, target, kind))
    _call("mount", *words, ctypes.c_ulong(flags), None)


def _call(function: str, *arguments: object) -> None:
    """Call libc; an error becomes an OSError that names the function."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
