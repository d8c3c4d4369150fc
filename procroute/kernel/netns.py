"""The network namespace that we are in."""

from __future__ import annotations

import os
import socket
import struct

_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14


def cookie() -> int:
    """The kernel's number for this network namespace, never used twice; 0 before Linux 5.14."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        try:
            return int(struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0])
        except OSError:
            return 0


def namespace() -> int:
    """A number for this network namespace: the cookie, else the inode."""
    return cookie() or os.stat("/proc/self/ns/net").st_ino


def is_the_machines() -> bool:
    """Whether it is the one of process 1, for which files in /etc are meant."""
    try:
        return os.stat("/proc/self/ns/net").st_ino == os.stat("/proc/1/ns/net").st_ino
    except OSError:
        return False
