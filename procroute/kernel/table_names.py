"""Names of our tables for ip(8): /etc/iproute2/rt_tables.d/procroute.conf."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from procroute.identity import TABLE_NAMES_FILE

_HEAD = "# written by procroute while routes are in use\n"
_MADE = "# so were these directories: "


def read(file: Path = Path(TABLE_NAMES_FILE)) -> dict[int, str]:
    """Number -> name, as we wrote them; a file that was not finished has a name for no table."""
    try:
        text = file.read_text()
    except OSError:
        return {}
    if not text.startswith(_HEAD):
        return {0: "unfinished"}
    lines = text.splitlines()
    words = (line.split() for line in lines if not line.startswith("#"))
    return {int(w[0]): w[1] for w in words if len(w) == 2 and w[0].isdigit()}


def possible(file: Path = Path(TABLE_NAMES_FILE)) -> bool:
    """Whether names can be written: they are a comfort, and a read-only /etc is no error."""
    there = next(directory for directory in file.parents if directory.exists())
    return os.access(there, os.W_OK)


def write(names: Mapping[int, str], file: Path = Path(TABLE_NAMES_FILE)) -> None:
    """Write the names, or remove the file when there are none.

    Directories that are missing are made, and removed with the file: newer iproute2 has its own
    files in /usr, and Debian 13 has no /etc/iproute2.
    """
    with contextlib.suppress(OSError):
        made = _made(file)
        if not names:
            file.unlink(missing_ok=True)
            for directory in made:
                directory.rmdir()
            return
        made += [directory for directory in file.parents if not directory.exists()]
        file.parent.mkdir(parents=True, exist_ok=True)
        head = _HEAD + (f"{_MADE}{' '.join(map(str, made))}\n" if made else "")
        file.write_text(head + "".join(f"{n}\t{name}\n" for n, name in sorted(names.items())))


def _made(file: Path) -> list[Path]:
    """The directories that were made for the file, innermost first."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    return [Path(word) for line in lines if line.startswith(_MADE) for word in line[len(_MADE) :].split()]
