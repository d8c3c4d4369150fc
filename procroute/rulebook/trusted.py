"""Opens what only root can have written, and says why it does not open the rest.

Every folder on the way is opened from the one before and looked at by its descriptor, so nobody can put
another thing there between look and use. Symbolic links are resolved first, and what they lead to is held to
the same. EFFECTS: reads files and folders.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from procroute.written.files import TO_READ, content

ROOT: Final = 0
_WAY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = TO_READ | os.O_NOFOLLOW
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class DistrustError(Exception):
    """Somebody else than root could have written it."""


def names(folder: Path, trusted: int = ROOT) -> list[str]:
    """What is in a folder that only root can write to. trusted: the uid that counts as root.

    Raises DistrustError, or OSError (FileNotFoundError where it is not there).
    """
    descriptor = _open(folder, _FOLDER, trusted)
    try:
        _look(os.fstat(descriptor), trusted)
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, trusted: int = ROOT) -> bytes:
    """A file that only root can write to; /dev/null is empty. Raises DistrustError, NoFileError, OSError."""
    descriptor = _open(path, _FILE, trusted)
    try:
        seen = os.fstat(descriptor)
        if stat.S_ISCHR(seen.st_mode) and seen.st_rdev == os.makedev(1, 3):
            return b""
        _look(seen, trusted)
        return content(descriptor)
    finally:
        os.close(descriptor)


def check(path: Path, trusted: int = ROOT) -> None:
    """Look at a file or folder, and all folders on the way. Raises DistrustError, OSError."""
    descriptor = _open(path, os.O_PATH | os.O_CLOEXEC, trusted)
    try:
        _look(os.fstat(descriptor), trusted)
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int, trusted: int) -> int:
    """The descriptor of a path, opened from `/` folder by folder."""
    parts = os.path.realpath(path, strict=True).strip("/").split("/")
    at = os.open("/", _WAY)
    try:
        for i, part in enumerate(parts[:-1]):
            _look(os.fstat(at), trusted, on_the_way="/" + "/".join(parts[:i]))
            at, before = os.open(part, _WAY, dir_fd=at), at
            os.close(before)
        _look(os.fstat(at), trusted, on_the_way="/" + "/".join(parts[:-1]))
        return os.open(parts[-1] or ".", flags, dir_fd=at)
    finally:
        os.close(at)


def _look(seen: os.stat_result, trusted: int, on_the_way: str = "") -> None:
    """Refuse what others can write to. On the way to it a folder with the sticky bit is good enough: nobody
    can rename or remove in it what is root's."""
    what = f"{on_the_way} " if on_the_way else ""
    if seen.st_uid not in {ROOT, trusted}:
        raise DistrustError(f"{what}belongs to uid {seen.st_uid}, not to root")
    if seen.st_mode & _OTHERS and not (on_the_way and seen.st_mode & stat.S_ISVTX):
        raise DistrustError(
            f"{what}can be written by others than root (mode {stat.S_IMODE(seen.st_mode):04o})"
        )
