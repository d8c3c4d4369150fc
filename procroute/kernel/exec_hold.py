"""Execs of chosen files, held by the kernel until they are answered (fanotify(7), fanotify_mark(2)).

    hold = ExecHold()                # or ExecHold(opens=True): whoever opens the files
    hold.mark(descriptor)            # of the file; O_PATH will do
    for asked in hold.read():        # when it is readable
        hold.answer(asked, allow=True)

Marks are on inodes: nothing else of the machine passes here. What executes an interpreter has asked for its
script before; each is a question of its own. When the descriptor of the hold is closed, however that comes,
the kernel allows what it still holds.

Imports little: the holder stays in memory for good.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import struct
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_uint, c_uint64
from typing import Final, NamedTuple

from procroute.kernel.faults import passed
from procroute.kernel.libc import call

# linux/fanotify.h
_CLOSE_ON_EXEC, _NON_BLOCKING, _CONTENT, _UNLIMITED_QUEUE, _UNLIMITED_MARKS = 0x1, 0x2, 0x4, 0x10, 0x20
_REPORT_PIDFD: Final = 0x80
_ADD, _REMOVE = 0x1, 0x2
_OPEN_PERM: Final = 0x0001_0000
_OPEN_EXEC_PERM: Final = 0x0004_0000
_ALLOW, _DENY = 0x1, 0x2
_VERSION: Final = 3
_INFO_PIDFD: Final = 4
_EVENT: Final = struct.Struct("=IBBHQii")
_INFO: Final = struct.Struct("=BBHi")
_RESPONSE: Final = struct.Struct("=iI")
_AT_FDCWD: Final = -100
_ROOM: Final = 1 << 10
"""Bytes that are read at once, some 30 events: whoever reads has others to answer in between."""


class Asked(NamedTuple):
    """An exec that waits for an answer. file: a descriptor of what is executed, to be closed by `answer`.

    pid: of the process, whichever of its threads it is; 0: one that is not seen from here, by its namespace.
    pidfd: of that very process, or negative where the kernel gives none (before 5.15).
    """

    file: int
    pid: int
    pidfd: int


class ExecHold:
    """A descriptor that becomes readable when somebody executes a marked file; opens: when he opens one.

    Raises OSError: EPERM without CAP_SYS_ADMIN, ENOSYS or EINVAL where the kernel has no
    CONFIG_FANOTIFY_ACCESS_PERMISSIONS.
    """

    def __init__(self, *, opens: bool = False) -> None:
        self._what = _OPEN_PERM if opens else _OPEN_EXEC_PERM
        flags = _CLOSE_ON_EXEC | _NON_BLOCKING | _CONTENT | _UNLIMITED_QUEUE | _UNLIMITED_MARKS
        files = c_uint(os.O_RDONLY | os.O_CLOEXEC | os.O_LARGEFILE)
        try:
            self._descriptor = call("fanotify_init", c_uint(flags | _REPORT_PIDFD), files)
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            self._descriptor = call("fanotify_init", c_uint(flags), files)

    def fileno(self) -> int:
        """For poll(2)."""
        return self._descriptor

    def close(self) -> None:
        """Hold nothing any longer; what waits goes on."""
        os.close(self._descriptor)

    def mark(self, file: int) -> None:
        """Hold execs of a file, or opens. Raises OSError: EOPNOTSUPP, EINVAL where its file system cannot."""
        self._change(_ADD, file)

    def unmark(self, file: int) -> None:
        """Hold them no longer; what is not marked is fine."""
        with contextlib.suppress(FileNotFoundError):
            self._change(_REMOVE, file)

    def _change(self, how: int, file: int) -> None:
        # By the link: descriptors of O_PATH are refused otherwise.
        path = c_char_p(f"/proc/self/fd/{file}".encode())
        mask = c_uint64(self._what)
        call("fanotify_mark", c_int(self._descriptor), c_uint(how), mask, c_int(_AT_FDCWD), path)

    def read(self) -> Iterator[Asked]:
        """Who asks: what has come and fits. Raises OSError, EMFILE where no descriptors are left for it:
        the kernel has then denied one."""
        try:
            data = passed("fanotify_read", "", os.read, self._descriptor, _ROOM)
        except BlockingIOError:
            return
        at = 0
        while at + _EVENT.size <= len(data):
            length, version, _, own, mask, file, pid = _EVENT.unpack_from(data, at)
            if version != _VERSION:
                raise OSError(errno.EPROTO, f"the kernel speaks version {version} of fanotify")
            pidfd = -1
            if length >= own + _INFO.size:
                kind, _, _, number = _INFO.unpack_from(data, at + own)
                pidfd = number if kind == _INFO_PIDFD else -1
            at += length
            if mask & self._what and file >= 0:
                yield Asked(file, pid, pidfd)

    def answer(self, asked: Asked, *, allow: bool) -> None:
        """Let an exec go on, or fail with EPERM. One that was killed meanwhile is fine. Raises OSError."""
        try:
            response = _RESPONSE.pack(asked.file, _ALLOW if allow else _DENY)
            with contextlib.suppress(FileNotFoundError):
                passed("fanotify_answer", asked.pid, os.write, self._descriptor, response)
        finally:
            os.close(asked.file)
            if asked.pidfd >= 0:
                os.close(asked.pidfd)


def still(asked: Asked) -> bool:
    """Whether the process that asked has not ended: what was read of its number until now is its own."""
    if asked.pidfd < 0:
        return asked.pidfd == -1  # -2: it had ended when the kernel made the descriptor
    try:
        signal.pidfd_send_signal(asked.pidfd, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
