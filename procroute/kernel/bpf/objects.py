"""BPF objects, each a file of programs and maps, and what maps hold.

    with Object(path) as programs:
        programs.preset(".rodata", data)
        programs.load()
        attach(programs.program("pr_egress"), cgroup_fd, EGRESS)

Whatever the kernel refuses is an OSError with its errno, as in libbpf.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from procroute.kernel import libbpf
from procroute.kernel.libbpf import checked

_AT_ONCE: Final = 128
_PLACE: Final = 4  # of a hash, where the next batch would begin (kernel/bpf/hashtab.c)
# The map has none (ENOTSUPP), the kernel has none, or a bucket of a hash holds more.
_NO_BATCH: Final = frozenset({524, errno.EINVAL, errno.ENOSPC})


class Object:
    """An object file: open, preset its data, load it into the kernel. Closing it leaves what is attached."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._handle: int | None = libbpf.library().bpf_object__open_file(os.fsencode(path), None)
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
            libbpf.library().bpf_object__close(self._handle)
            self._handle = None

    def preset(self, section: str, data: bytes) -> None:
        """Give a data section its content, before load()."""
        found = self._map(section)
        checked(libbpf.call("bpf_map__set_initial_value", found, data, len(data)), f"preset {section}")

    def load(self) -> None:
        """Make the maps, let the kernel verify the programs."""
        checked(libbpf.call("bpf_object__load", self._handle), f"load {self._path}")

    def without(self, name: str) -> None:
        """Do without a program that this kernel does not take, before load()."""
        checked(libbpf.call("bpf_program__set_autoload", self._program(name), False), f"leave out {name}")

    def expect(self, name: str, hook: int) -> None:
        """Say by which hook a program will be attached, where this libbpf may not know it by its section."""
        found = self._program(name)
        checked(libbpf.call("bpf_program__set_expected_attach_type", found, hook), f"hook of {name}")

    def program(self, name: str) -> int:
        """The file descriptor of a program; it is closed with the object."""
        return checked(libbpf.call("bpf_program__fd", self._program(name)), f"program {name}")

    def map(self, name: str, key_size: int, value_size: int) -> Map:
        """A map of the object; closed with the object."""
        return Map(checked(libbpf.call("bpf_map__fd", self._map(name)), f"map {name}"), key_size, value_size)

    def _program(self, name: str) -> int:
        found = libbpf.library().bpf_object__find_program_by_name(self._handle, name.encode())
        if not found:
            raise OSError(errno.ENOENT, f"no program {name}", self._path)
        return int(found)

    def _map(self, name: str) -> int:
        found = libbpf.library().bpf_object__find_map_by_name(self._handle, name.encode())
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
        if self._missing(libbpf.call("bpf_map_lookup_elem", self._fd, self._checked(key), value), "look up"):
            return None
        return value.raw

    def first(self) -> bytes:
        """The value of the one entry of an array, which is always there. Raises OSError."""
        value = ctypes.create_string_buffer(self._value_size)
        key = self._checked(bytes(self._key_size))
        checked(libbpf.call("bpf_map_lookup_elem", self._fd, key, value), "look up")
        return value.raw

    def get_each(self, key: bytes) -> bytes:
        """The values of a key for every possible CPU, of a map that has one for each; empty: no such key.

        Source: kernel documentation, bpf/map_array.rst: each is rounded up to 8 bytes.
        """
        value = ctypes.create_string_buffer(-(-self._value_size // 8) * 8 * possible_cpus())
        if self._missing(libbpf.call("bpf_map_lookup_elem", self._fd, self._checked(key), value), "look up"):
            return b""
        return value.raw

    def set(self, key: bytes, value: bytes) -> None:
        """Add or replace."""
        if len(value) != self._value_size:
            raise ValueError(f"a value has {self._value_size} bytes, not {len(value)}")
        checked(libbpf.call("bpf_map_update_elem", self._fd, self._checked(key), value, 0), "update map")

    def delete(self, key: bytes) -> None:
        """Remove; a key that is not there is fine."""
        self._missing(libbpf.call("bpf_map_delete_elem", self._fd, self._checked(key)), "delete from map")

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
            result = libbpf.call("bpf_map_lookup_batch", *words)
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
        while not self._missing(libbpf.call("bpf_map_get_next_key", self._fd, before, following), "walk map"):
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
        checked(result, what)
        return False


def _cut(buffer: ctypes.Array[ctypes.c_char], size: int, count: int) -> Iterator[bytes]:
    data = buffer.raw
    return (data[at : at + size] for at in range(0, count * size, size))


def possible_cpus() -> int:
    """How many CPUs the kernel has room for (libbpf_num_possible_cpus)."""
    return checked(libbpf.call("libbpf_num_possible_cpus"), "count CPUs")
