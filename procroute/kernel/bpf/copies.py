"""Find the programs of a route that are attached, read what they are told, change it, detach them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Final

from msgspec import Struct

from procroute.core.door import Door, Marking
from procroute.errors import ProcrouteError
from procroute.kernel import libbpf
from procroute.kernel.bpf import layout, objects
from procroute.kernel.bpf.catalogue import BY_NAME, BY_SOURCE, DOOR, MAPS, PROGRAMS, RODATA, Program


class Copy(Struct):
    """One loading of an object as it is found attached: names of programs and maps to their ids."""

    source: str
    marking: Marking
    programs: dict[str, int] = {}
    maps: dict[str, int] = {}

    @property
    def whole(self) -> bool:
        """Every program of the object is attached."""
        return len(self.programs) == len(BY_SOURCE[self.source])


_OpenMap = Callable[[str], objects.Map]
_Attached = tuple[tuple[int, tuple[int, ...]], ...]
"""Hooks, and the ids of the programs there."""
_Items = tuple[tuple[bytes, bytes], ...]
_TOLD: Final = {"guard": {DOOR}, "dns": {"servers"}}
"""By source, the maps of one value that say what a door is; and those of many."""
_LISTED: Final = {"guard": {"lan", "addresses"}, "dns": {"resolvers"}}


def find(directory: int, programs: tuple[Program, ...] = PROGRAMS) -> list[Copy]:
    """Those of these programs that are on this very cgroup and ours: known by their names and by the .rodata
    map that each one carries."""
    hooks = dict.fromkeys(program.hook for program in programs)
    attached = tuple((hook, _query(directory, hook)) for hook in hooks)
    try:
        return [*_known(attached, programs)]
    except FileNotFoundError:  # one was detached meanwhile, and has gone
        return [*_copies(attached, programs, _program, _map)]


def _copies(
    attached: _Attached,
    programs: tuple[Program, ...],
    program_of: Callable[[int], libbpf.ProgramInfo | None],
    map_of: Callable[[int], tuple[str, Marking | None]],
) -> Iterable[Copy]:
    copies: dict[int, Copy] = {}
    ids = dict(attached)
    for program in programs:
        for program_id in ids[program.hook]:
            info = program_of(program_id)
            if info is None or info.name != program.name:
                continue
            known = {map_id: map_of(map_id) for map_id in info.maps}
            for map_id, (_, marking) in known.items():
                if marking is None:
                    continue
                copy = copies.setdefault(map_id, Copy(program.source, marking))
                copy.programs[program.name] = program_id
                copy.maps.update({name: other for other, (name, _) in known.items()})
    return copies.values()


def _query(directory: int, hook: int) -> tuple[int, ...]:
    try:
        return libbpf.query(directory, hook)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOSYS}:  # the kernel has no such hook: nothing is there
            return ()
        if error.errno == errno.EBADF:
            raise ProcrouteError("cgroup-version", "this is not a directory of cgroup v2") from error
        raise


def _program(program_id: int) -> libbpf.ProgramInfo | None:
    try:
        return _program_of(program_id)
    except FileNotFoundError:
        return None


def _map(map_id: int) -> tuple[str, Marking | None]:
    """The name of a map, and the marking in it if it is a .rodata of ours. A map that is gone has neither."""
    try:
        return _map_of(map_id)
    except FileNotFoundError:
        return "", None


# What an id stands for never changes: the kernel counts on (kernel/bpf/syscall.c, idr_alloc_cyclic), programs
# keep their name and maps, and libbpf freezes .rodata. What maps hold otherwise is read at each look.


@lru_cache(4096)
def _known(attached: _Attached, programs: tuple[Program, ...]) -> tuple[Copy, ...]:
    """Raises FileNotFoundError where one of them is gone."""
    return tuple(_copies(attached, programs, _program_of, _map_of))


@lru_cache(8192)
def _program_of(program_id: int) -> libbpf.ProgramInfo:
    descriptor = libbpf.open_program(program_id)
    try:
        return libbpf.program_info(descriptor)
    finally:
        os.close(descriptor)


@lru_cache(8192)
def _map_of(map_id: int) -> tuple[str, Marking | None]:
    descriptor = libbpf.open_map(map_id)
    try:
        info = libbpf.map_info(descriptor)
        if not info.name.endswith(RODATA):
            return info.name, None
        data = objects.Map(descriptor, info.key_size, info.value_size).first()
        return info.name, layout.unpack_cfg(data)
    finally:
        os.close(descriptor)


@contextmanager
def maps_of(copy: Copy) -> Iterator[_OpenMap]:
    """The maps of what is attached, by name; closed at the end."""
    with ExitStack() as stack:

        def open_map(name: str) -> objects.Map:
            descriptor = libbpf.open_map(copy.maps[name])
            stack.callback(os.close, descriptor)
            return objects.Map(descriptor, *MAPS[name])

        yield open_map


def read_door(copies: list[Copy]) -> Door:
    """What the programs are told; empty where the program that is told it is not there."""
    told: dict[str, bytes] = {}
    listed: dict[str, _Items] = {}
    for copy in copies:
        with maps_of(copy) as open_map:
            for name in _TOLD.get(copy.source, set()) & copy.maps.keys():
                told[name] = open_map(name).first()
            for name in _LISTED.get(copy.source, set()) & copy.maps.keys():
                listed[name] = tuple(open_map(name).items().items())
    inbound = any(copy.source == "inbound" for copy in copies)
    return _door(tuple(sorted(told.items())), tuple(sorted(listed.items())), inbound)


@lru_cache(4096)  # the same bytes say the same: most of what is there was there at the last look
def _door(told: tuple[tuple[str, bytes], ...], listed: tuple[tuple[str, _Items], ...], inbound: bool) -> Door:
    values, maps = dict(told), {name: dict(items) for name, items in listed}
    followed = "servers" in values
    servers = layout.unpack_servers(values["servers"]) if values.get("servers") else ()
    adapters, present = layout.unpack_adapters(values[DOOR]) if values.get(DOOR) else (frozenset[int](), 0)
    return Door(
        adapters,
        layout.unpack_lan(maps.get("lan", {})),
        servers,
        layout.unpack_resolvers(maps.get("resolvers", {})),
        layout.unpack_addresses(maps.get("addresses", {})),
        no_lookups=followed and not servers,
        present=present,
        inbound=inbound,
    )


def sync(copy: Copy, door: Door) -> None:
    """Bring one copy to another door."""
    with maps_of(copy) as open_map:
        if copy.source == "guard":
            told = open_map(DOOR)
            before = told.first()
            if layout.unpack_adapters(before)[1] != door.present:
                # Its addresses and its ifindex are not written at once: meanwhile all are looked up.
                told.set(layout.FIRST, layout.pack_door(door.adapters, door.present, (), before))
            told.set(layout.FIRST, layout.pack_door(door.adapters, door.present, door.addresses, before))
            if "lan" in copy.maps:
                _replace(open_map("lan"), layout.pack_lan(door.lan))
            if "addresses" in copy.maps:
                _replace(open_map("addresses"), layout.pack_addresses(door.addresses))
        elif copy.source == "dns" and "servers" in copy.maps:
            resolvers = layout.pack_resolvers(door.resolvers, door.dns_servers)
            open_map("servers").set(layout.FIRST, layout.pack_servers(door.dns_servers))
            _replace(open_map("resolvers"), resolvers)


def _replace(target: objects.Map, wanted: dict[bytes, bytes]) -> None:
    """Adds before deletes. Of prefixes the shortest go first: an exception outlives what it is one from."""
    present = target.items()
    for key, value in wanted.items():
        if present.get(key) != value:
            target.set(key, value)
    for key in sorted(present.keys() - wanted.keys(), key=layout.prefix_length):
        target.delete(key)


def detach_copy(directory: int, copy: Copy, kinds: Collection[str]) -> None:
    """Detach its programs of these kinds, in the reverse order of attaching."""
    for name, program_id in reversed(copy.programs.items()):
        program = BY_NAME[name]
        if program.kind not in kinds:
            continue
        try:
            descriptor = libbpf.open_program(program_id)
        except FileNotFoundError:
            continue
        try:
            libbpf.detach(descriptor, directory, program.hook)
        except FileNotFoundError:
            pass  # somebody was faster
        finally:
            os.close(descriptor)
