"""Calls of libc that Python has no words for."""

from __future__ import annotations

import ctypes
import functools
import os

from procroute.kernel.faults import passed


def call(function: str, *arguments: object) -> int:
    """Call a function that returns -1 when it fails; an error becomes an OSError that names it."""
    return passed(function, arguments, _call, function, *arguments)


def _call(function: str, *arguments: object) -> int:
    result = int(getattr(_libc(), function)(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
