"""Open files that whoever started us left open for the command (execve(2), FD_CLOEXEC)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable

_STANDARD = (0, 1, 2)


def given() -> frozenset[int]:
    """Those that are open now and would survive exec. To be asked before anything of ours is opened."""
    found = set()
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                found.add(number)
        except OSError:  # what the folder itself was read through
            continue
    return frozenset(found)


def let_go(descriptors: Iterable[int]) -> None:
    """Close these and leave the working directory, so that pipes end and file systems can be unmounted.

    In place of the standard ones /dev/null is read and written from here on.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in descriptors:
        if number in _STANDARD:
            os.dup2(nothing, number)
        else:
            os.closerange(number, number + 1)  # closed already is no error
    os.close(nothing)
    os.chdir("/")
