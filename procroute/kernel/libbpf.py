"""libbpf.so.1 by ctypes: as much of it as the programs of a route need, with types.

    with Object(path) as programs:
        programs.preset(".rodata", data)
        programs.load()
        attach(programs.program("pr_egress"), cgroup_fd, EGRESS)

Whatever the kernel refuses is an OSError with its errno. A missing library is a ProcrouteError. Numbers and
structures: include/uapi/linux/bpf.h; functions: libbpf's bpf.h and libbpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from functools import cache
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

from procroute.errors import ProcrouteError
from procroute.kernel import faults

_ALLOW_MULTI: Final = 2  # BPF_F_ALLOW_MULTI
_PROGRAMS_A_HOOK: Final = 64  # BPF_CGROUP_MAX_PROGS (kernel/bpf/cgroup.c)
_NAME: Final = 16  # BPF_OBJ_NAME_LEN
_MAPS_A_PROGRAM: Final = 64  # MAX_USED_MAPS
_AT_ONCE: Final = 128
_PLACE: Final = 4  # of a hash, where the next batch would begin (kernel/bpf/hashtab.c)
# The map has none (ENOTSUPP), the kernel has none, or a bucket of a hash holds more.
_NO_BATCH: Final = frozenset({524, errno.EINVAL, errno.ENOSPC})
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


def _call(function: str, *arguments: object) -> int:
    """Call a function that returns -errno on failure, as all of libbpf 1 do."""
    if number := faults.due(function, arguments):
        return -number
    result = int(getattr(library(), function)(*arguments))
    faults.done(function, arguments)
    return result


def _check(result: int, what: str) -> int:
    """The result of _call; raises OSError where it is a failure."""
    if result >= 0:
        return result
    raise OSError(-result, f"{what}: {os.strerror(-result)}")


class Object:
    """An object file: open, preset its data, load it into the kernel. Closing it leaves what is attached."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle: int | None = library().bpf_object__open_file(os.fsencode(path), None)
        if not self._handle:
            number = ctypes.get_errno() or errno.EINVAL
            raise OSError(number, os.strerror(number), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the programs and maps; those that are attached stay."""
        if self._handle:
            library().bpf_object__close(self._handle)
            self._handle = None

    def preset(self, section: str, data: bytes) -> None:
        """Give a data section its content, before load()."""
        found = self._map(section)
        _check(_call("bpf_map__set_initial_value", found, data, len(data)), f"preset {section}")

    def load(self) -> None:
        """Make the maps, let the kernel verify the programs."""
        _check(_call("bpf_object__load", self._handle), f"load {self._path}")

    def without(self, name: str) -> None:
        """Do without a program that this kernel does not take, before load()."""
        _check(_call("bpf_program__set_autoload", self._program(name), False), f"leave out {name}")

    def program(self, name: str) -> int:
        """The file descriptor of a program; it is closed with the object."""
        return _check(_call("bpf_program__fd", self._program(name)), f"program {name}")

    def map(self, name: str, key_size: int, value_size: int) -> Map:
        """A map of the object; closed with the object."""
        return Map(_check(_call("bpf_map__fd", self._map(name)), f"map {name}"), key_size, value_size)

    def _program(self, name: str) -> int:
        found = library().bpf_object__find_program_by_name(self._handle, name.encode())
        if not found:
            raise OSError(errno.ENOENT, f"no program {name}", self._path)
        return int(found)

    def _map(self, name: str) -> int:
        found = library().bpf_object__find_map_by_name(self._handle, name.encode())
        if not found:
            raise OSError(errno.ENOENT, f"no map {name}", self._path)
        return int(found)


class Map:
    """A map by its file descriptor, which is not closed here. Keys and values are bytes of its sizes."""

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        self._fd = fd
        self._key_size = key_size
        self._value_size = value_size

    def fileno(self) -> int:
        """Its descriptor, for poll(2) and mmap(2) on a ring buffer."""
        return self._fd

    def get(self, key: bytes) -> bytes | None:
        """The value of a key; None when there is none."""
        value = ctypes.create_string_buffer(self._value_size)
        if self._missing(_call("bpf_map_lookup_elem", self._fd, self._checked(key), value), "look up"):
            return None
        return value.raw

    def get_each(self, key: bytes) -> bytes:
        """The values of a key for every possible CPU, of a map that has one for each; empty: no such key.

        Source: kernel documentation, bpf/map_array.rst: each is rounded up to 8 bytes.
        """
        value = ctypes.create_string_buffer(-(-self._value_size // 8) * 8 * possible_cpus())
        if self._missing(_call("bpf_map_lookup_elem", self._fd, self._checked(key), value), "look up"):
            return b""
        return value.raw

    def set(self, key: bytes, value: bytes) -> None:
        """Add or replace."""
        if len(value) != self._value_size:
            raise ValueError(f"a value has {self._value_size} bytes, not {len(value)}")
        _check(_call("bpf_map_update_elem", self._fd, self._checked(key), value, 0), "update map")

    def delete(self, key: bytes) -> None:
        """Remove; a key that is not there is fine."""
        self._missing(_call("bpf_map_delete_elem", self._fd, self._checked(key)), "delete from map")

    def items(self) -> dict[bytes, bytes]:
        """All that is there; what is added or removed meanwhile may be in it or not."""
        whole = self._at_once()
        if whole is not None:
            return whole
        found = {key: self.get(key) for key in self._keys()}
        return {key: value for key, value in found.items() if value is not None}

    def _at_once(self) -> dict[bytes, bytes] | None:
        """The same by many in a system call; None: this kernel cannot (it can from Linux 5.6 on; 5.16, of
        tries)."""
        keys = ctypes.create_string_buffer(_AT_ONCE * self._key_size)
        values = ctypes.create_string_buffer(_AT_ONCE * self._value_size)
        place = ctypes.create_string_buffer(max(self._key_size, _PLACE))
        count = ctypes.c_uint32(_AT_ONCE)
        begin: object = None
        found: dict[bytes, bytes] = {}
        while True:
            words = (self._fd, begin, place, keys, values, ctypes.byref(count), None)
            result = _call("bpf_map_lookup_batch", *words)
            if -result in _NO_BATCH:
                return None
            last = self._missing(result, "read map")
            before = len(found)
            found.update(
                zip(
                    _cut(keys, self._key_size, count.value),
                    _cut(values, self._value_size, count.value),
                    strict=True,
                )
            )
            if last or len(found) == before:
                return found
            begin, count.value = place, _AT_ONCE

    def _keys(self) -> Iterator[bytes]:
        # A key that is removed under way starts the walk again from the first one.
        before: bytes | None = None
        seen: set[bytes] = set()
        following = ctypes.create_string_buffer(self._key_size)
        while not self._missing(_call("bpf_map_get_next_key", self._fd, before, following), "walk map"):
            before = following.raw
            if before in seen:
                return
            seen.add(before)
            yield before

    def _checked(self, key: bytes) -> bytes:
        if len(key) != self._key_size:
            raise ValueError(f"a key has {self._key_size} bytes, not {len(key)}")
        return key

    @staticmethod
    def _missing(result: int, what: str) -> bool:
        if result == -errno.ENOENT:
            return True
        _check(result, what)
        return False


def _cut(buffer: ctypes.Array[ctypes.c_char], size: int, count: int) -> Iterator[bytes]:
    data = buffer.raw
    return (data[at : at + size] for at in range(0, count * size, size))


def possible_cpus() -> int:
    """How many CPUs the kernel has room for (libbpf_num_possible_cpus)."""
    return _check(_call("libbpf_num_possible_cpus"), "count CPUs")


def attach(program: int, cgroup: int, hook: int) -> None:
    """Attach beside what is there. cgroup: a file descriptor of its directory; hook: enum bpf_attach_type.

    EPERM: an ancestor or this cgroup has a program that allows no others (or the caller has no CAP_BPF).
    """
    _check(_call("bpf_prog_attach", program, cgroup, hook, _ALLOW_MULTI), "attach")


def attach_while_open(program: int, cgroup: int, hook: int) -> int:
    """The same as `attach`, until the descriptor that this returns is closed, or who holds it ends."""
    return _check(_call("bpf_link_create", program, cgroup, hook, None), "attach")


def attach_raw_tracepoint(program: int, name: str) -> int:
    """Run a program at a raw tracepoint until the descriptor that this returns is closed.

    name: empty for one that was loaded for a function of the kernel (fentry).
    """
    return _check(
        _call("bpf_raw_tracepoint_open", name.encode() or None, program), f"tracepoint {name}".rstrip()
    )


def detach(program: int, cgroup: int, hook: int) -> None:
    """Detach one program; the others stay."""
    _check(_call("bpf_prog_detach2", program, cgroup, hook), "detach")


def query(cgroup: int, hook: int) -> tuple[int, ...]:
    """The ids of the programs attached to this very cgroup, in the order in which they run."""
    ids = (ctypes.c_uint32 * _PROGRAMS_A_HOOK)()
    count = ctypes.c_uint32(_PROGRAMS_A_HOOK)
    flags = ctypes.c_uint32()
    _check(_call("bpf_prog_query", cgroup, hook, 0, ctypes.byref(flags), ids, ctypes.byref(count)), "query")
    return tuple(ids[: count.value])


def open_program(program_id: int) -> int:
    """A file descriptor of a loaded program, to be closed with os.close(). ENOENT: it is gone."""
    return _check(_call("bpf_prog_get_fd_by_id", program_id), "program by id")


def open_map(map_id: int) -> int:
    """A file descriptor of a map, to be closed with os.close(). ENOENT: it is gone."""
    return _check(_call("bpf_map_get_fd_by_id", map_id), "map by id")


def program_info(fd: int) -> ProgramInfo:
    """What the kernel says of a program."""
    maps = (ctypes.c_uint32 * _MAPS_A_PROGRAM)()
    info = _ProgramInfo(map_count=_MAPS_A_PROGRAM, maps=ctypes.addressof(maps))
    length = ctypes.c_uint32(ctypes.sizeof(info))
    _check(_call("bpf_obj_get_info_by_fd", fd, ctypes.byref(info), ctypes.byref(length)), "information")
    return ProgramInfo(info.id, info.name.decode(), tuple(maps[: min(info.map_count, _MAPS_A_PROGRAM)]))


def map_info(fd: int) -> MapInfo:
    """What the kernel says of a map."""
    info = _MapInfo()
    length = ctypes.c_uint32(ctypes.sizeof(info))
    _check(_call("bpf_obj_get_info_by_fd", fd, ctypes.byref(info), ctypes.byref(length)), "information")
    return MapInfo(info.id, info.name.decode(), info.key_size, info.value_size)
