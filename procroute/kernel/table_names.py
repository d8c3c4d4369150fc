"""Names of our tables for ip(8): /etc/iproute2/rt_tables.d/procroute.conf.

ip(8) reads that directory also where iproute2 has its own files in /usr (6.5 and later) and /etc/iproute2 is
missing, as on Debian 13. What is missing we make. A directory of ours has the sticky bit, set by mkdir(2)
itself: whenever we die, it is known as ours.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from procroute.identity import TABLE_NAMES_FILE
from procroute.kernel import files
from procroute.kernel.refusal import may_pass

_HEAD: Final = "# written by procroute while routes are in use\n"
_OUR_DIRECTORY: Final = stat.S_ISVTX | 0o755
_UNFINISHED: Final = {0: "unfinished"}
_stuck: dict[Path, dict[int, str]] = {}
"""What stood in a file when it could not be written (disk full, quota, chattr +i)."""


def read(file: Path = Path(TABLE_NAMES_FILE)) -> dict[int, str]:
    """Number -> name, as we wrote them; a name for no table where something of ours is unfinished."""
    if _new(file).exists():
        return dict(_UNFINISHED)
    try:
        text = file.read_text()
    except OSError:
        return dict(_UNFINISHED) if any(map(_left_empty, _directories(file))) else {}
    if not text.startswith(_HEAD):
        return dict(_UNFINISHED)
    words = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {int(w[0]): w[1] for w in words if len(w) == 2 and w[0].isdigit()}


def possible(file: Path = Path(TABLE_NAMES_FILE)) -> bool:
    """Whether names can be written: they are a comfort, and a read-only /etc or a full disk is no error.

    Not where it was tried in vain, until somebody else has changed the file.
    """
    if file in _stuck and _stuck[file] == read(file):
        return False
    _stuck.pop(file, None)
    there = next(directory for directory in file.parents if directory.exists())
    return os.access(there, os.W_OK)


def write(names: Mapping[int, str], file: Path = Path(TABLE_NAMES_FILE)) -> None:
    """Write the names; with none, remove the file, and the directories that we made if they are empty.

    Raises OSError where that cannot be done; then it is not `possible`, and what was there before stays.
    """
    try:
        if names:
            _write(names, file)
        else:
            _remove(file)
    except OSError as e:
        with contextlib.suppress(OSError):
            files.unlink(_new(file), missing_ok=True)
            if not file.exists():
                _remove(file)
        if names or not may_pass(e):
            _stuck[file] = read(file)
        raise


def _write(names: Mapping[int, str], file: Path) -> None:
    for directory in reversed(_directories(file)):
        if not directory.exists():
            files.mkdir(directory, _OUR_DIRECTORY)
    files.write(_new(file), _HEAD + "".join(f"{n}\t{name}\n" for n, name in sorted(names.items())))
    _new(file).chmod(0o644)  # everybody's ip(8) reads it, whatever the umask
    files.rename(_new(file), file)


def _remove(file: Path) -> None:
    for each in (_new(file), file):
        files.unlink(each, missing_ok=True)
    for directory in filter(_left_empty, _directories(file)):
        files.rmdir(directory)


def _new(file: Path) -> Path:
    """Where it is written first. ip(8) reads what ends in .conf."""
    return file.with_name(f".{file.name}.new")


def _directories(file: Path) -> list[Path]:
    """Those that may be missing, innermost first: rt_tables.d and iproute2."""
    return list(file.parents[:2])


def _left_empty(directory: Path) -> bool:
    try:
        return bool(directory.lstat().st_mode & stat.S_ISVTX) and not os.listdir(directory)
    except OSError:
        return False
