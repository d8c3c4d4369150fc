"""libbpf.so.1 by ctypes: as much of it as the programs of a route need, with types.

    attach(program, cgroup_fd, EGRESS)
    program_info(open_program(query(cgroup_fd, EGRESS)[0])).name

Whatever the kernel refuses is an OSError with its errno. A missing library is a ProcrouteError. Numbers and
structures: include/uapi/linux/bpf.h; functions: libbpf's bpf.h and libbpf.h.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any, Final

from msgspec import Struct

from procroute.errors import ProcrouteError
from procroute.kernel import faults

_ALLOW_MULTI: Final = 2  # BPF_F_ALLOW_MULTI
_PROGRAMS_A_HOOK: Final = 64  # BPF_CGROUP_MAX_PROGS (kernel/bpf/cgroup.c)
_NAME: Final = 16  # BPF_OBJ_NAME_LEN
_MAPS_A_PROGRAM: Final = 64  # MAX_USED_MAPS
TAKE: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
"""ring_buffer_sample_fn."""


class _ProgramInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_length", ctypes.c_uint32),
        ("translated_length", ctypes.c_uint32),
        ("jited", ctypes.c_uint64),
        ("translated", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by", ctypes.c_uint32),
        ("map_count", ctypes.c_uint32),
        ("maps", ctypes.c_uint64),
        ("name", ctypes.c_char * _NAME),
    ]


class _MapInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("capacity", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("name", ctypes.c_char * _NAME),
    ]


class ProgramInfo(Struct, frozen=True):
    """A loaded program: its id, its name (at most 15 characters), the ids of its maps."""

    id: int
    name: str
    maps: tuple[int, ...]


class MapInfo(Struct, frozen=True):
    """A map: its id, its name (at most 15 characters), the sizes of its keys and values in bytes."""

    id: int
    name: str
    key_size: int
    value_size: int


@cache
def library() -> ctypes.CDLL:
    """The library with its signatures. Raises ProcrouteError library-missing."""
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError:
        raise ProcrouteError(
            "library-missing",
            "libbpf.so.1 is missing",
            hint="install the package libbpf1 (Debian, Ubuntu) or libbpf (Fedora)",
        ) from None
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    unsigned, size = ctypes.c_uint32, ctypes.c_size_t
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "libbpf_set_print": (pointer, [pointer]),
        "bpf_object__open_file": (pointer, [text, pointer]),
        "bpf_object__close": (None, [pointer]),
        "bpf_object__load": (number, [pointer]),
        "bpf_object__find_map_by_name": (pointer, [pointer, text]),
        "bpf_object__find_program_by_name": (pointer, [pointer, text]),
        "bpf_map__set_initial_value": (number, [pointer, text, size]),
        "bpf_map__fd": (number, [pointer]),
        "bpf_program__fd": (number, [pointer]),
        "bpf_program__set_expected_attach_type": (number, [pointer, number]),
        "bpf_program__set_autoload": (number, [pointer, ctypes.c_bool]),
        "bpf_prog_attach": (number, [number, number, number, unsigned]),
        "bpf_prog_detach2": (number, [number, number, number]),
        "bpf_raw_tracepoint_open": (number, [text, number]),
        "bpf_link_create": (number, [number, number, number, pointer]),
        "ring_buffer__new": (pointer, [number, TAKE, pointer, pointer]),
        "ring_buffer__consume": (number, [pointer]),
        "ring_buffer__free": (None, [pointer]),
        "bpf_prog_query": (number, [number, number, unsigned, pointer, pointer, pointer]),
        "bpf_prog_get_fd_by_id": (number, [unsigned]),
        "bpf_map_get_fd_by_id": (number, [unsigned]),
        "bpf_obj_get_info_by_fd": (number, [number, pointer, pointer]),
        "bpf_map_lookup_elem": (number, [number, text, pointer]),
        "bpf_map_update_elem": (number, [number, text, text, ctypes.c_uint64]),
        "bpf_map_delete_elem": (number, [number, text]),
        "bpf_map_get_next_key": (number, [number, text, pointer]),
        "bpf_map_lookup_batch": (number, [number, *[pointer] * 6]),
        "libbpf_num_possible_cpus": (number, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.libbpf_set_print(None)
    return library


def require() -> None:
    """Raises ProcrouteError library-missing, before anything is begun that would need it."""
    library()


def call(function: str, *arguments: object) -> int:
    """Call a function of the library that returns -errno on failure, as all of libbpf 1 do."""
    if number := faults.due(function, arguments):
        return -number
    result = int(getattr(library(), function)(*arguments))
    faults.done(function, arguments)
    return result


def checked(result: int, what: str) -> int:
    """The result of `call`; raises OSError where it is a failure."""
    if result >= 0:
        return result
    raise OSError(-result, f"{what}: {os.strerror(-result)}")


def attach(program: int, cgroup: int, hook: int) -> None:
    """Attach beside what is there. cgroup: a file descriptor of its directory; hook: enum bpf_attach_type.

    EPERM: an ancestor or this cgroup has a program that allows no others (or the caller has no CAP_BPF).
    """
    checked(call("bpf_prog_attach", program, cgroup, hook, _ALLOW_MULTI), "attach")


def attach_while_open(program: int, cgroup: int, hook: int) -> int:
    """The same as `attach`, until the descriptor that this returns is closed, or who holds it ends."""
    return checked(call("bpf_link_create", program, cgroup, hook, None), "attach")


def attach_raw_tracepoint(program: int, name: str) -> int:
    """Run a program at a raw tracepoint until the descriptor that this returns is closed.

    name: empty for one that was loaded for a function of the kernel (fentry).
    """
    return checked(
        call("bpf_raw_tracepoint_open", name.encode() or None, program), f"tracepoint {name}".rstrip()
    )


def detach(program: int, cgroup: int, hook: int) -> None:
    """Detach one program; the others stay."""
    checked(call("bpf_prog_detach2", program, cgroup, hook), "detach")


def query(cgroup: int, hook: int) -> tuple[int, ...]:
    """The ids of the programs attached to this very cgroup, in the order in which they run."""
    ids = (ctypes.c_uint32 * _PROGRAMS_A_HOOK)()
    count = ctypes.c_uint32(_PROGRAMS_A_HOOK)
    flags = ctypes.c_uint32()
    checked(call("bpf_prog_query", cgroup, hook, 0, ctypes.byref(flags), ids, ctypes.byref(count)), "query")
    return tuple(ids[: count.value])


def open_program(program_id: int) -> int:
    """A file descriptor of a loaded program, to be closed with os.close(). ENOENT: it is gone."""
    return checked(call("bpf_prog_get_fd_by_id", program_id), "program by id")


def open_map(map_id: int) -> int:
    """A file descriptor of a map, to be closed with os.close(). ENOENT: it is gone."""
    return checked(call("bpf_map_get_fd_by_id", map_id), "map by id")


def program_info(fd: int) -> ProgramInfo:
    """What the kernel says of a program."""
    maps = (ctypes.c_uint32 * _MAPS_A_PROGRAM)()
    info = _ProgramInfo(map_count=_MAPS_A_PROGRAM, maps=ctypes.addressof(maps))
    length = ctypes.c_uint32(ctypes.sizeof(info))
    checked(call("bpf_obj_get_info_by_fd", fd, ctypes.byref(info), ctypes.byref(length)), "information")
    return ProgramInfo(info.id, info.name.decode(), tuple(maps[: min(info.map_count, _MAPS_A_PROGRAM)]))


def map_info(fd: int) -> MapInfo:
    """What the kernel says of a map."""
    info = _MapInfo()
    length = ctypes.c_uint32(ctypes.sizeof(info))
    checked(call("bpf_obj_get_info_by_fd", fd, ctypes.byref(info), ctypes.byref(length)), "information")
    return MapInfo(info.id, info.name.decode(), info.key_size, info.value_size)
