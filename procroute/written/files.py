"""Reads people's files: what is there in their place makes us neither wait nor fill the memory. EFFECTS."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

LARGEST: Final = 4 << 20
"""Bytes of a file at most: 10,000 rules are one million."""
# Without O_NONBLOCK a FIFO would wait for who writes to it.
TO_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NoFileError(Exception):
    """It is something else than a file, or too large."""


def read_any(path: Path) -> bytes:
    """A file, whoever wrote it. Raises NoFileError or OSError."""
    descriptor = os.open(path, TO_READ)
    try:
        return content(descriptor)
    finally:
        os.close(descriptor)


def content(descriptor: int) -> bytes:
    """All of an open file. Raises NoFileError or OSError."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise NoFileError("is no file")
    pieces, left = [], LARGEST + 1
    while left and (piece := os.read(descriptor, left)):
        pieces.append(piece)
        left -= len(piece)
    if not left:
        raise NoFileError(f"is larger than {LARGEST >> 20} MiB")
    return b"".join(pieces)
