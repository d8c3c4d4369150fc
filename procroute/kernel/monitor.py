"""News from the kernel: links, addresses, entries, rules, neighbours (rtnetlink(7))."""

from __future__ import annotations

import contextlib
import socket
import struct

from procroute.kernel.neighbours import DELAY, PROBE, STALE

# linux/rtnetlink.h: RTNLGRP_*
_LINK, _NEIGHBOUR, _ADDRESS4, _ENTRY4, _RULE4, _ADDRESS6, _ENTRY6, _RULE6 = 1, 3, 5, 7, 8, 9, 11, 19
_GROUPS = (_LINK, _NEIGHBOUR, _ADDRESS4, _ENTRY4, _RULE4, _ADDRESS6, _ENTRY6, _RULE6)
_ADD_MEMBERSHIP = 1
_SOL_NETLINK = 270
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR = 28, 29
_ROUTINE = STALE | DELAY | PROBE


class Monitor:
    """A socket that becomes readable when something may have changed."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._socket.bind((0, 0))
        for group in _GROUPS:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        """For poll(2)."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Read what has come; whether any of it is a reason to look. Lost news (ENOBUFS) are one."""
        reason = False
        while True:
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return reason
            except OSError:
                reason = True
                continue
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                reason = reason or _matters(kind, data[16:length])
                data = data[(length + 3) & ~3 :]

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._socket.close()


def _matters(kind: int, body: bytes) -> bool:
    """Whether a message can change what should be. A neighbour's routine ageing cannot."""
    if kind == _DELETE_NEIGHBOUR or len(body) < 12:
        return False
    if kind == _NEW_NEIGHBOUR:
        state = struct.unpack_from("=H", body, 8)[0]
        return not state & _ROUTINE
    return True
