"""A BPF program of somebody else's on a cgroup: two instructions that let everything pass.

Source: bpf(2): BPF_PROG_LOAD and BPF_PROG_ATTACH; the layout of union bpf_attr from include/uapi/linux/bpf.h.
Run in the machine: python tests/lab/foreign_programs.py CGROUP ATTACH_TYPE…
The attachment outlives this process.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import Final

_SYSCALL: Final = {"x86_64": 321}.get(platform.machine(), 280)
_PROG_LOAD, _PROG_ATTACH, _OBJ_GET_INFO_BY_FD = 5, 8, 15
_ALLOW_MULTI: Final = 2
INGRESS, EGRESS, SOCK_CREATE = 0, 1, 2
_TYPES: Final = {INGRESS: 8, EGRESS: 8, SOCK_CREATE: 9}  # BPF_PROG_TYPE_CGROUP_SKB, _CGROUP_SOCK
_ALLOW: Final = struct.pack("<BBhi", 0xB7, 0, 0, 1) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = 1; exit

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = int(_libc.syscall(_SYSCALL, command, buffer, 128))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def attach(cgroup: str, attach_type: int) -> int:
    """Attach the program beside whatever is there; its file descriptor. Raises OSError."""
    code, licence = ctypes.create_string_buffer(_ALLOW), ctypes.create_string_buffer(b"GPL")
    load = struct.pack(
        "<IIQQIIQII16sII",
        _TYPES[attach_type],
        len(_ALLOW) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        0,
        0,
        0,
        0,
        0,
        b"theirs",
        0,
        attach_type,
    )
    program = _bpf(_PROG_LOAD, load)
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _bpf(_PROG_ATTACH, struct.pack("<IIII", directory, program, attach_type, _ALLOW_MULTI))
    finally:
        os.close(directory)
    return program


if __name__ == "__main__":
    for number in sys.argv[2:]:
        attach(sys.argv[1], int(number))
