"""News of every process by the kernel's process connector, where BPF cannot tell (linux/cn_proc.h).

Of who forks, executes, is called or becomes another, and ends; not of who is put into another cgroup. The
kernel speaks to root in its first user, PID and network namespaces alone, and where it was built with
CONFIG_PROC_EVENTS.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from typing import Final

from procroute.core.census import Life
from procroute.kernel.netlink import HEADER

_CONNECTOR: Final = 11  # linux/netlink.h, NETLINK_CONNECTOR
_GROUP: Final = 1  # linux/connector.h, CN_IDX_PROC, as is CN_VAL_PROC
_DONE: Final = 3
_SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h
_MESSAGE: Final = struct.Struct("=IIIIHH")  # struct cn_msg
_LISTEN: Final = struct.pack("=I", 1)
_EVENT: Final = struct.Struct("=IIQ")  # struct proc_event: what, processor, time; then by what
_PIDS: Final = struct.Struct("=II")  # of a thread, and of its process
_FORK_CHILD: Final = 8
_ANSWER, _FORK, _EXEC, _UID, _GID, _COMM, _EXIT = 0, 0x1, 0x2, 0x4, 0x40, 0x200, 0x8000_0000
_CHANGES: Final = frozenset({_EXEC, _UID, _GID, _COMM})
_ANSWERS_WITHIN: Final = 0.5
_ROOM: Final = 1 << 22
"""Bytes of news that may wait: tens of thousands."""


class Connector:
    """A descriptor for poll(2) that is readable when there is news. For one thread at a time.

    room: bytes of news that may wait for `read`.
    """

    def __init__(self, room: int = _ROOM) -> None:
        """Raises OSError where the kernel does not tell us."""
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(
                socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _CONNECTOR)
            )
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
            self._socket.bind((0, _GROUP))
            self._ask()
            undo.pop_all()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._socket.fileno()

    def read(self) -> list[Life] | None:
        """What was told since the last time; None: not all of it could be told. Raises OSError.

        When they began is not told: 0.
        """
        found: list[Life] = []
        lost = False
        while True:
            try:
                packet = self._socket.recv(1 << 16)
            except BlockingIOError:
                return None if lost else found
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                lost = True  # what is there still is read, too: it is known by looking at everybody
                continue
            if (life := _life(packet)) is not None:
                found.append(life)

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()

    def _ask(self) -> None:
        body = _MESSAGE.pack(_GROUP, _GROUP, 0, 0, len(_LISTEN), 0) + _LISTEN
        self._socket.send(HEADER.pack(HEADER.size + len(body), _DONE, 0, 0, os.getpid()) + body)
        end = time.monotonic() + _ANSWERS_WITHIN
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            if poll.poll(1000 * left) and _what(self._socket.recv(1 << 16)) is not None:
                return  # whatever it is: it tells us
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # in other namespaces it is silent


def _what(packet: bytes) -> int | None:
    """Which event a packet tells of; None: of none."""
    at = HEADER.size + _MESSAGE.size
    if len(packet) < at + _EVENT.size + _PIDS.size:
        return None
    return int(_EVENT.unpack_from(packet, at)[0])


def _life(packet: bytes) -> Life | None:
    """What a packet tells of a process; None: nothing, or of a thread of one."""
    what = _what(packet)
    at = HEADER.size + _MESSAGE.size + _EVENT.size + (_FORK_CHILD if what == _FORK else 0)
    if what is None or what == _ANSWER or len(packet) < at + _PIDS.size:
        return None
    thread, process = _PIDS.unpack_from(packet, at)
    if what in _CHANGES:
        return Life(process, 0)
    if thread != process or what not in (_FORK, _EXIT):
        return None
    return Life(process, 0, ended=what == _EXIT)


def listen() -> Connector | None:
    """Listen; None where the kernel does not tell."""
    with contextlib.suppress(OSError):
        return Connector()
    return None
