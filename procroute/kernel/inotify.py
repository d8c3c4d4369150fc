"""News of files and directories, as the kernel gives them (inotify(7))."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_uint32
from pathlib import Path
from typing import Final

from procroute.kernel.libc import call

# linux/inotify.h
MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
AS_WELL: Final = 0x20000000
"""What was to be told of the same file before is told still (IN_MASK_ADD)."""
ONLY_DIRECTORIES: Final = 0x01000000
OVERFLOW: Final = 0x4000
"""News were lost."""
_EVENT: Final = struct.Struct("=iIII")


class Inotify:
    """A descriptor that becomes readable when there is news.

    Raises OSError when the kernel gives none: EMFILE at fs.inotify.max_user_instances.
    """

    def __init__(self) -> None:
        self._descriptor = call("inotify_init1", c_int(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        """For poll(2)."""
        return self._descriptor

    def close(self) -> None:
        """Watch nothing any longer."""
        os.close(self._descriptor)

    def add(self, path: Path, mask: int) -> int:
        """Watch a file or directory; the number of the watch, which is that of before for the very same one.

        mask: what to tell of. Raises OSError: what is wrong with the path, ENOSPC at max_user_watches.
        """
        file = c_char_p(os.fsencode(path))
        return call("inotify_add_watch", c_int(self._descriptor), file, c_uint32(mask))

    def remove(self, watch: int) -> None:
        """Watch it no longer; one that is none any more is fine."""
        with contextlib.suppress(OSError):  # it went with its file
            call("inotify_rm_watch", c_int(self._descriptor), c_int(watch))

    def read(self) -> Iterator[tuple[int, int, str]]:
        """The watch, what happened, and the name in a directory, of each event that has come."""
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size + length
                yield watch, mask, os.fsdecode(data[at - length : at].rstrip(b"\0"))
