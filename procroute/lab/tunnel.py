"""A wire of two tun adapters, one in the machine and one in the node, with the node's process between them.

Point-to-point adapters need no gateway and have no neighbours: what most VPN programs make.
The four bytes before each packet (no IFF_NO_PI) keep its protocol.
Source: Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

from procroute.lab import namespaces

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN: Final = 0x0001


def pair(machine: int, adapter: str, far_end: str) -> tuple[int, int]:
    """Two tun devices: `adapter` in the network namespace of pid `machine`, `far_end` in the caller's."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{machine}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        far = _open(far_end)
        namespaces.setns(there, namespaces.NEWNET)
        try:
            near = _open(adapter)
        finally:
            namespaces.setns(here, namespaces.NEWNET)
    finally:
        os.close(here)
        os.close(there)
    return near, far


def carry(source: int, sink: int) -> None:
    """Take every packet that waits at `source` to `sink`; what the other end does not take is lost."""
    while True:
        try:
            packet = os.read(source, 65540)
        except OSError:  # nothing more, or the adapter is down
            return
        try:
            os.write(sink, packet)
        except OSError:
            continue


def _open(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN))
    return fd
