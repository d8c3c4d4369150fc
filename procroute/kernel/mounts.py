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

from procroute.kernel.libc import call
from procroute.places import RESOLV_CONF

TYPE_CHECKING = False  # `run` by the daemon comes through here: no typing, no pathlib
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

_NEW_NAMESPACE = 0x0002_0000  # linux/sched.h
_BIND, _RECURSIVE, _SLAVE, _DETACH = 0x1000, 0x4000, 0x80000, 0x2  # linux/mount.h
_PLAIN = 0x2 | 0x4 | 0x8  # MS_NOSUID, MS_NODEV, MS_NOEXEC
_OF_SOCKETS: Final = ("/run/nscd", "/var/run/nscd", "/run/systemd/resolve")
_VOLATILE: Final = "/run"


def private_lookups(resolv_conf: str) -> None:
    """Leave for a mount namespace with this resolv.conf, in which there are no sockets of name services.

    Mounts made outside still arrive there. Raises OSError.
    """
    call("unshare", c_int(_NEW_NAMESPACE))
    _mount(None, "/", None, _RECURSIVE | _SLAVE)
    file = os.path.realpath(RESOLV_CONF)
    covered = {os.path.realpath(p) for p in _OF_SOCKETS}
    if os.path.dirname(file).startswith(f"{_VOLATILE}/"):
        covered.add(os.path.dirname(file))
    for directory in sorted(covered):
        if os.path.isdir(directory):
            _cover(directory, resolv_conf, file)
    if os.path.dirname(file) not in covered and os.path.exists(file):
        _put_on(file, resolv_conf)


def without_manager(uid: int) -> None:
    """Leave for a mount namespace in which the private socket of this user's systemd is not there.

    The sockets of its message bus stay. Raises OSError.
    """
    directory = f"/run/user/{uid}/systemd"
    if os.path.isdir(directory):
        call("unshare", c_int(_NEW_NAMESPACE))
        _mount(None, "/", None, _RECURSIVE | _SLAVE)
        _mount("tmpfs", directory, "tmpfs", _PLAIN, "mode=0755")


def bind_alone(directory: Path, place: Path) -> None:
    """Let the calling thread see a directory at another place, too, in a mount namespace of its own.

    Raises OSError.
    """
    call("unshare", c_int(_NEW_NAMESPACE))
    _mount(None, "/", None, _RECURSIVE | _SLAVE)
    if not place.is_dir():
        _mount("tmpfs", place.parent, "tmpfs", _PLAIN, "mode=0755")
        place.mkdir()
    _mount(directory, place, None, _BIND | _RECURSIVE)


def _cover(directory: str, resolv_conf: str, file: str) -> None:
    """Put a directory of ours over one. Folders in it stay; every resolv.conf in it becomes ours."""
    with os.scandir(directory) as found:
        entries = list(found)
    folders = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    texts = {e.name for e in entries if e.name.endswith(os.path.basename(RESOLV_CONF))} - {*folders}
    if os.path.dirname(file) == directory:
        texts.add(os.path.basename(file))
    below = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _mount("tmpfs", directory, "tmpfs", _PLAIN, "mode=0755")
        for name in folders:
            os.mkdir(f"{directory}/{name}")
            _mount(f"/proc/self/fd/{below}/{name}", f"{directory}/{name}", None, _BIND | _RECURSIVE)
        for name in texts:
            _write(f"{directory}/{name}", resolv_conf)
    finally:
        os.close(below)


def _put_on(file: str, resolv_conf: str) -> None:
    """Put a file of ours on one, that nobody has to remove: its file system is gone from view right after."""
    _mount("tmpfs", _VOLATILE, "tmpfs", 0)
    ours = f"{_VOLATILE}/{os.path.basename(file)}"
    _write(ours, resolv_conf)
    _mount(ours, file, None, _BIND)
    call("umount2", os.fsencode(_VOLATILE), c_int(_DETACH))


def _write(file: str, text: str) -> None:
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(text)
    os.chmod(file, 0o644)


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, options: str | None = None
) -> None:
    words = (None if w is None else os.fsencode(w) for w in (source, target, kind))
    call("mount", *words, c_ulong(flags), None if options is None else os.fsencode(options))
