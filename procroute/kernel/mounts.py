"""A mount namespace of its own for a launched command, in which its look-ups have one way only.

nss-resolve and nscd are asked over Unix sockets, which neither mark nor guard can see. Their directories are
covered, so that sockets which a daemon makes anew stay out of sight too; glibc finds none and goes on to port
53 (nsswitch.conf(5), nss-resolve(8)).

A mount on a file ends when another one is renamed to its place outside (rename(2), namespaces(7)), one on a
directory does not see that. So the directory of resolv.conf is covered wherever that leads below /run.
"""

from __future__ import annotations

import os
from ctypes import c_int, c_ulong
from pathlib import Path
from typing import Final

from procroute.identity import RUN_DIRECTORY
from procroute.kernel.libc import call
from procroute.kernel.resolvers import RESOLV_CONF

_NEW_NAMESPACE = 0x0002_0000  # linux/sched.h
_BIND, _RECURSIVE, _SLAVE, _DETACH = 0x1000, 0x4000, 0x80000, 0x2  # linux/mount.h
_PLAIN = 0x2 | 0x4 | 0x8  # MS_NOSUID, MS_NODEV, MS_NOEXEC
_OF_SOCKETS: Final = ("/run/nscd", "/var/run/nscd", "/run/systemd/resolve")
_VOLATILE: Final = Path("/run")


def private_lookups(resolv_conf: str) -> None:
    """Leave for a mount namespace with this resolv.conf, in which there are no sockets of name services.

    Mounts made outside still arrive there. Raises OSError.
    """
    call("unshare", c_int(_NEW_NAMESPACE))
    _mount(None, "/", None, _RECURSIVE | _SLAVE)
    file = Path(os.path.realpath(RESOLV_CONF))
    covered = {Path(os.path.realpath(p)) for p in _OF_SOCKETS}
    if _VOLATILE in file.parent.parents:
        covered.add(file.parent)
    for directory in sorted(covered):
        if directory.is_dir():
            _cover(directory, resolv_conf, file)
    if file.parent not in covered and file.exists():
        _put_on(file, resolv_conf)


def _cover(directory: Path, resolv_conf: str, file: Path) -> None:
    """Put a directory of ours over one. Folders in it stay; every resolv.conf in it becomes ours."""
    with os.scandir(directory) as found:
        entries = list(found)
    folders = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    texts = {e.name for e in entries if e.name.endswith(RESOLV_CONF.name)} - {*folders}
    if file.parent == directory:
        texts.add(file.name)
    below = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _mount("tmpfs", directory, "tmpfs", _PLAIN, "mode=0755")
        for name in folders:
            (directory / name).mkdir()
            _mount(f"/proc/self/fd/{below}/{name}", directory / name, None, _BIND | _RECURSIVE)
        for name in texts:
            _write(directory / name, resolv_conf)
    finally:
        os.close(below)


def _put_on(file: Path, resolv_conf: str) -> None:
    """Put a file of ours on one, that nobody has to remove: its file system is gone from view right after."""
    _mount("tmpfs", RUN_DIRECTORY, "tmpfs", 0)
    ours = Path(RUN_DIRECTORY) / file.name
    _write(ours, resolv_conf)
    _mount(ours, file, None, _BIND)
    call("umount2", os.fsencode(RUN_DIRECTORY), c_int(_DETACH))


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o644)


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, options: str | None = None
) -> None:
    words = (None if w is None else os.fsencode(w) for w in (source, target, kind))
    call("mount", *words, c_ulong(flags), None if options is None else os.fsencode(options))
