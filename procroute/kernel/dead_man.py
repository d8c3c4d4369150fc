"""A process that ends when it does not say in time that it still works (timer_create(2), SIGKILL).

    switch = DeadMan()
    switch.arm(0.9)      # and again before that is over, or the kernel kills this process

So one that is stopped, frozen or hangs lets go of what it holds, with nobody there to see to it: a signal
that can be neither caught nor blocked ends a stopped process too (signal(7)).
"""

from __future__ import annotations

import ctypes
import signal
import struct
import time
from typing import Final

from procroute.kernel.libc import call

_SIGEV_SIGNAL: Final = 0
_SPEC: Final = struct.Struct("@llll")


class _SigEvent(ctypes.Structure):
    """struct sigevent (sigevent(3type)): 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    )


class DeadMan:
    """Not armed at first. Raises OSError. A child made by fork(2) has none."""

    def __init__(self) -> None:
        self._timer = ctypes.c_void_p()
        event = _SigEvent(None, signal.SIGKILL, _SIGEV_SIGNAL)
        timer = ctypes.byref(self._timer)
        call("timer_create", ctypes.c_int(time.CLOCK_MONOTONIC), ctypes.byref(event), timer)

    def arm(self, seconds: float) -> None:
        """End this process after so many seconds, instead of when it was said before; 0: not at all."""
        whole, rest = divmod(max(0, round(seconds * 1e9)), 1_000_000_000)
        spec = ctypes.c_char_p(_SPEC.pack(0, 0, whole, rest))
        call("timer_settime", self._timer, ctypes.c_int(0), spec, None)
