"""Which BPF programs are attached to which cgroups: their ids, asked from the kernel.

Source: bpf(2), include/uapi/linux/bpf.h (BPF_PROG_QUERY and enum bpf_attach_type).
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path
from typing import Final

_SYSCALL: Final = {"x86_64": 321, "armv7l": 386, "ppc64le": 361, "s390x": 351}.get(platform.machine(), 280)
_PROG_QUERY: Final = 16
_CGROUP_ATTACH_TYPES: Final = (
    0,
    1,
    2,
    3,
    6,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    18,
    19,
    20,
    21,
    22,
    29,
    30,
    31,
    32,
    34,
    *range(49, 54),
)
_ROOM: Final = 64

_libc = ctypes.CDLL(None, use_errno=True)


class _Query(ctypes.Structure):
    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("prog_ids", ctypes.c_uint64),
        ("prog_cnt", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("prog_attach_flags", ctypes.c_uint64),
        ("link_ids", ctypes.c_uint64),
        ("link_attach_flags", ctypes.c_uint64),
        ("revision", ctypes.c_uint64),
    )


def programs(root: Path) -> dict[str, list[int]]:
    """Ids of the programs attached right to each cgroup from `root` down, by "<cgroup> <attach type>"."""
    found = {}
    for directory, _, _ in os.walk(root):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for attach_type in _CGROUP_ATTACH_TYPES:
                if ids := _ids(fd, attach_type):
                    found[f"/{os.path.relpath(directory, root).removeprefix('.')} {attach_type}"] = ids
        finally:
            os.close(fd)
    return found


def _ids(fd: int, attach_type: int) -> list[int]:
    ids = (ctypes.c_uint32 * _ROOM)()
    query = _Query(target_fd=fd, attach_type=attach_type, prog_ids=ctypes.addressof(ids), prog_cnt=_ROOM)
    # older kernels accept a longer structure while what they do not know is zero
    if _libc.syscall(_SYSCALL, _PROG_QUERY, ctypes.byref(query), ctypes.sizeof(query)) < 0:
        return []  # the kernel does not know this attach type
    return list(ids[: query.prog_cnt])
