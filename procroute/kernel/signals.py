"""Signals as a descriptor to poll, with who sent them (signalfd(2))."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Iterable

from msgspec import Struct

from procroute.kernel.libc import call

_NON_BLOCKING, _CLOSE_ON_EXEC = os.O_NONBLOCK, os.O_CLOEXEC
_INFO_SIZE = 128
SI_USER = 0


class Received(Struct, frozen=True):
    """A signal that arrived. by_kernel: a terminal sent it, to a whole process group."""

    number: int
    sender: int
    by_kernel: bool


class Signals:
    """Blocks signals for this process and gives them one by one."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = frozenset(numbers)
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self.numbers)
        self.newly_blocked = self.numbers - self._before
        mask = (ctypes.c_ulong * 16)()  # sigset_t, 1024 bits
        bits = 8 * ctypes.sizeof(ctypes.c_ulong)
        for number in self.numbers:
            mask[(number - 1) // bits] |= 1 << (number - 1) % bits
        self._descriptor = call("signalfd", -1, mask, _NON_BLOCKING | _CLOSE_ON_EXEC)

    def fileno(self) -> int:
        """For poll(2)."""
        return self._descriptor

    def read(self) -> list[Received]:
        """What has arrived since."""
        try:
            data = os.read(self._descriptor, 64 * _INFO_SIZE)
        except BlockingIOError:
            return []
        found = []
        for at in range(0, len(data), _INFO_SIZE):
            number, _, code, sender = struct.unpack_from("=IiiI", data, at)
            found.append(Received(number, sender, by_kernel=code > SI_USER))
        return found

    def close(self) -> None:
        """Give the signals back; those still waiting are dropped."""
        self.read()
        os.close(self._descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
