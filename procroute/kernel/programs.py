"""The BPF programs of a route on its target: attach, read back, change, count, detach.

    attach("/sys/fs/cgroup/procroute.slice/procroute-wan1.slice", marking, door)
    update(cgroup, other_door)            # from any process
    drops(cgroup)                         # {ifindex: packets}

The kernel is the only record. Programs are attached to the cgroup itself, not held by a link or a pin: they
outlive the process that attached them and die with the cgroup, or with the last socket made in it. Programs
of others on the same cgroup are left as they are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from procroute.core.door import Door, Marking
from procroute.errors import ProcrouteError
from procroute.kernel import libbpf
from procroute.kernel.bpf import layout
from procroute.model import IPAddress, IPNetwork


class _Program(Struct, frozen=True):
    """hook: enum bpf_attach_type (include/uapi/linux/bpf.h)."""

    name: str
    hook: int
    hook_name: str
    kind: str
    source: str


# In the order of attaching: the door is shut before the first socket is marked.
_PROGRAMS: Final = (
    _Program("pr_egress", 1, "cgroup_inet_egress", "guard", "guard"),
    _Program("pr_ingress", 0, "cgroup_inet_ingress", "replies", "guard"),
    _Program("pr_recvmsg4", 19, "cgroup_udp4_recvmsg", "dns", "dns"),
    _Program("pr_recvmsg6", 20, "cgroup_udp6_recvmsg", "dns", "dns"),
    _Program("pr_getpeername4", 29, "cgroup_inet4_getpeername", "dns", "dns"),
    _Program("pr_getpeername6", 30, "cgroup_inet6_getpeername", "dns", "dns"),
    _Program("pr_connect4", 10, "cgroup_inet4_connect", "dns", "dns"),
    _Program("pr_connect6", 11, "cgroup_inet6_connect", "dns", "dns"),
    _Program("pr_sendmsg4", 14, "cgroup_udp4_sendmsg", "dns", "dns"),
    _Program("pr_sendmsg6", 15, "cgroup_udp6_sendmsg", "dns", "dns"),
    _Program("pr_bind4", 8, "cgroup_inet4_bind", "bound", "mark"),
    _Program("pr_bind6", 9, "cgroup_inet6_bind", "bound", "mark"),
    _Program("pr_listen", 3, "cgroup_sock_ops", "listen", "mark"),
    _Program("pr_create", 2, "cgroup_inet_sock_create", "mark", "mark"),
)
KINDS: Final = frozenset(program.kind for program in _PROGRAMS)
_BY_NAME: Final = {program.name: program for program in _PROGRAMS}
_BY_SOURCE: Final = {
    source: tuple(program for program in _PROGRAMS if program.source == source)
    for source in ("guard", "dns", "mark")
}
_OBJECTS: Final = Path(__file__).with_name("bpf")

# Sizes of keys and values, in bytes.
_MAPS: Final = {
    ".data.door": (4, 16),
    "lan": (20, 16),
    "drops": (4, 8),
    "servers": (4, 136),
    "resolvers": (16, 4),
}
_RODATA: Final = ".rodata"
_DOOR: Final = ".data.door"


class Attached(Struct, frozen=True):
    """What is attached to a cgroup. complete: every program that this door needs is there and of one marking;
    kinds: those of which every program is there."""

    marking: Marking
    door: Door
    complete: bool
    kinds: frozenset[str]


class _Copy(Struct):
    """One loading of an object as it is found attached: names of programs and maps to their ids."""

    source: str
    marking: Marking
    programs: dict[str, int] = {}
    maps: dict[str, int] = {}

    @property
    def whole(self) -> bool:
        return len(self.programs) == len(_BY_SOURCE[self.source])


_OpenMap = Callable[[str], libbpf.Map]


def attach(cgroup: str, marking: Marking, door: Door) -> None:
    """Attach a route's programs to its target, or bring those that are there to `door`.

    What a crash or somebody else left incomplete is replaced, new before old. Raises ProcrouteError, with
    nothing of this call left attached, where the kernel or another program does not allow it, and
    bpf-attached where the cgroup already has another marking.
    """
    with _directory(cgroup) as directory, ExitStack() as stack:
        copies = _find(directory)
        if any(copy.marking != marking for copy in copies):
            raise ProcrouteError(
                "bpf-attached", f"{cgroup} already follows another route", hint="procroute cleanup"
            )
        fresh: list[tuple[str, libbpf.Object]] = []
        stale: list[_Copy] = []
        for source in _needed(door):
            found = [copy for copy in copies if copy.source == source]
            whole = next((copy for copy in found if copy.whole), None)
            if whole is None:
                fresh.append((source, stack.enter_context(_load(source, marking, door))))
            else:
                _sync(whole, door)
            stale += [copy for copy in found if copy is not whole]
        if not door.dns_servers:
            stale += [copy for copy in copies if copy.source == "dns"]
        _attach_objects(cgroup, directory, fresh)
        for copy in stale:
            _detach_copy(directory, copy, KINDS)


def attached(cgroup: str) -> Attached | None:
    """What is attached to a cgroup, read from the kernel; None when nothing of ours is, or no such cgroup."""
    try:
        with _directory(cgroup) as directory:
            copies = _find(directory)
            if not copies:
                return None
            whole = {copy.source for copy in copies if copy.whole}
            door = _read_door(copies)
    except ProcrouteError as error:
        if error.code == "cgroup-missing":
            return None
        raise
    present = {name for copy in copies for name in copy.programs}
    kinds = {kind for kind in KINDS if all(p.name in present for p in _PROGRAMS if p.kind == kind)}
    marking = copies[0].marking
    agreed = all(copy.marking == marking for copy in copies)
    return Attached(marking, door, agreed and whole.issuperset(_needed(door)), frozenset(kinds))


def update(cgroup: str, door: Door) -> None:
    """Bring what is attached to another door: adds before deletes, no prefix or adapter missing meanwhile.

    The look-up programs come and go with door.dns_servers; otherwise what is missing stays missing.
    """
    with _directory(cgroup) as directory:
        copies = _find(directory)
        if not copies:
            raise ProcrouteError("bpf-missing", f"no programs of procroute are attached to {cgroup}")
        for copy in copies:
            if copy.source == "dns" and not door.dns_servers:
                _detach_copy(directory, copy, KINDS)
            else:
                _sync(copy, door)
        if door.dns_servers and not any(copy.source == "dns" for copy in copies):
            with _load("dns", copies[0].marking, door) as loaded:
                _attach_objects(cgroup, directory, [("dns", loaded)])


def drops(cgroup: str) -> dict[int, int]:
    """Packets that the guard dropped, by the ifindex of the adapter they would have left by."""
    total: dict[int, int] = {}
    with _directory(cgroup) as directory:
        for copy in _find(directory):
            if copy.source != "guard":
                continue
            with _maps(copy) as open_map:
                counted = layout.unpack_drops(open_map("drops").items())
            for ifindex, packets in counted.items():
                total[ifindex] = total.get(ifindex, 0) + packets
    return total


def detach(cgroup: str, kinds: Collection[str] = KINDS) -> None:
    """Detach programs of ours by kind; what is not there, or a cgroup that is gone, is fine.

    The mark goes first and the guard last.
    """
    if unknown := set(kinds) - KINDS:
        raise ValueError(f"no such kinds: {sorted(unknown)}")
    try:
        with _directory(cgroup) as directory:
            for copy in sorted(_find(directory), key=lambda copy: copy.source == "guard"):
                _detach_copy(directory, copy, kinds)
    except ProcrouteError as error:
        if error.code != "cgroup-missing":
            raise


def _needed(door: Door) -> tuple[str, ...]:
    return ("guard", "dns", "mark") if door.dns_servers else ("guard", "mark")


@contextmanager
def _directory(cgroup: str) -> Iterator[int]:
    try:
        directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcrouteError("cgroup-missing", f"there is no cgroup {cgroup}") from None
    try:
        yield directory
    finally:
        os.close(directory)


# Loading and attaching


_retval = True


@contextmanager
def _load(source: str, marking: Marking, door: Door) -> Iterator[libbpf.Object]:
    """An object in the kernel, its maps filled, not attached; closed at the end."""
    try:
        loaded = _load_object(source, marking, door)
    except OSError as error:
        raise _load_error(error) from error
    with loaded:
        if source == "guard":
            _fill(loaded.map("lan", *_MAPS["lan"]), layout.pack_lan(door.lan))
        elif source == "dns":
            servers = layout.pack_servers(door.dns_servers)
            loaded.map("servers", *_MAPS["servers"]).set(layout.FIRST, servers)
            resolvers = layout.pack_resolvers(door.resolvers, door.dns_servers)
            _fill(loaded.map("resolvers", *_MAPS["resolvers"]), resolvers)
        yield loaded


def _load_object(source: str, marking: Marking, door: Door) -> libbpf.Object:
    global _retval  # what the kernel has does not change while we run
    for retval in (True, False) if _retval and source != "guard" else (False,):
        loaded = libbpf.Object(str(_OBJECTS / f"{source}.bpf.o"))
        try:
            loaded.preset(_RODATA, layout.pack_cfg(marking, retval))
            if source == "guard":
                loaded.preset(_DOOR, layout.pack_adapters(door.adapters))
            loaded.load()
        except OSError as error:
            loaded.close()
            if not retval or error.errno not in {errno.EINVAL, errno.EACCES}:
                raise
        except BaseException:
            loaded.close()
            raise
        else:
            if source != "guard":
                _retval = retval
            return loaded
    raise AssertionError("the last attempt returns or raises")


def _fill(target: libbpf.Map, entries: dict[bytes, bytes]) -> None:
    for key, value in entries.items():
        target.set(key, value)


def _attach_objects(cgroup: str, directory: int, objects: list[tuple[str, libbpf.Object]]) -> None:
    done: list[tuple[int, int]] = []
    try:
        for source, loaded in objects:
            for program in _BY_SOURCE[source]:
                descriptor = loaded.program(program.name)
                try:
                    libbpf.attach(descriptor, directory, program.hook)
                except OSError as error:
                    raise _attach_error(error, cgroup, program) from error
                done.append((descriptor, program.hook))
    except BaseException:
        for descriptor, hook in reversed(done):
            libbpf.detach(descriptor, directory, hook)
        raise


def _load_error(error: OSError) -> ProcrouteError:
    if error.errno == errno.ENOSYS:
        return ProcrouteError("kernel-option", "this kernel has no BPF", hint="it needs CONFIG_BPF_SYSCALL")
    if error.errno == errno.EINVAL:
        return ProcrouteError(
            "kernel-option",
            "this kernel does not take the BPF programs of a route",
            hint="it needs CONFIG_CGROUP_BPF, and Linux 5.8 or later",
        )
    if error.errno in {errno.EPERM, errno.EACCES}:
        return ProcrouteError(
            "bpf-refused",
            f"the kernel refuses to load BPF programs ({error.strerror})",
            hint="root needs CAP_BPF and CAP_NET_ADMIN; see also kernel_lockdown(7)",
        )
    return ProcrouteError("bpf-load", f"the BPF programs cannot be loaded: {error.strerror}")


def _attach_error(error: OSError, cgroup: str, program: _Program) -> ProcrouteError:
    if error.errno == errno.EPERM:
        return ProcrouteError(
            "bpf-exclusive",
            f"{program.hook_name} cannot be attached to {cgroup}:"
            " another program allows no others (bpf exclusive attach)",
            hint="`bpftool cgroup tree` shows it, here or on a cgroup above",
        )
    if error.errno == errno.E2BIG:
        return ProcrouteError("bpf-full", f"{cgroup} has no room for one more {program.hook_name} program")
    if error.errno == errno.EBADF:
        return ProcrouteError("cgroup-version", f"{cgroup} is not a directory of cgroup v2")
    if error.errno == errno.EINVAL:
        return ProcrouteError(
            "kernel-option",
            f"this kernel has no {program.hook_name} programs",
            hint="it needs CONFIG_CGROUP_BPF, and Linux 5.8 or later",
        )
    return ProcrouteError(
        "bpf-attach", f"{program.hook_name} cannot be attached to {cgroup}: {error.strerror}"
    )


# Finding and changing what is attached


def _find(directory: int) -> list[_Copy]:
    """Our programs on this very cgroup. Known by their names and by the .rodata map that each one carries."""
    copies: dict[int, _Copy] = {}
    maps: dict[int, tuple[libbpf.MapInfo, Marking | None]] = {}
    for program in _PROGRAMS:
        for program_id in _query(directory, program):
            info = _program(program_id)
            if info is None or info.name != program.name:
                continue
            for map_id in info.maps:
                if map_id not in maps:
                    maps[map_id] = _map(map_id)
            for map_id in info.maps:
                marking = maps[map_id][1]
                if marking is None:
                    continue
                copy = copies.setdefault(map_id, _Copy(program.source, marking))
                copy.programs[program.name] = program_id
                copy.maps.update({maps[other][0].name: other for other in info.maps})
    return list(copies.values())


def _query(directory: int, program: _Program) -> tuple[int, ...]:
    try:
        return libbpf.query(directory, program.hook)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOSYS}:  # the kernel has no such hook: nothing is there
            return ()
        if error.errno == errno.EBADF:
            raise ProcrouteError("cgroup-version", "this is not a directory of cgroup v2") from error
        raise ProcrouteError("bpf-refused", f"BPF programs cannot be listed: {error.strerror}") from error


def _program(program_id: int) -> libbpf.ProgramInfo | None:
    try:
        descriptor = libbpf.open_program(program_id)
    except FileNotFoundError:
        return None
    try:
        return libbpf.program_info(descriptor)
    finally:
        os.close(descriptor)


def _map(map_id: int) -> tuple[libbpf.MapInfo, Marking | None]:
    """A map, and the marking in it if it is a .rodata of ours."""
    descriptor = libbpf.open_map(map_id)
    try:
        info = libbpf.map_info(descriptor)
        if not info.name.endswith(_RODATA):
            return info, None
        data = libbpf.Map(descriptor, info.key_size, info.value_size).get(layout.FIRST)
        return info, layout.unpack_cfg(data or b"")
    finally:
        os.close(descriptor)


@contextmanager
def _maps(copy: _Copy) -> Iterator[_OpenMap]:
    """The maps of what is attached, by name; closed at the end."""
    with ExitStack() as stack:

        def open_map(name: str) -> libbpf.Map:
            descriptor = libbpf.open_map(copy.maps[name])
            stack.callback(os.close, descriptor)
            return libbpf.Map(descriptor, *_MAPS[name])

        yield open_map


def _read_door(copies: list[_Copy]) -> Door:
    adapters: frozenset[int] = frozenset()
    lan: frozenset[tuple[IPNetwork, int]] = frozenset()
    servers: tuple[IPAddress, ...] = ()
    resolvers: tuple[IPAddress, ...] = ()
    for copy in copies:
        with _maps(copy) as open_map:
            if copy.source == "guard" and _DOOR in copy.maps:
                adapters = layout.unpack_adapters(open_map(_DOOR).get(layout.FIRST) or b"")
                if "lan" in copy.maps:
                    lan = layout.unpack_lan(open_map("lan").items())
            if copy.source == "dns" and "servers" in copy.maps:
                servers = layout.unpack_servers(open_map("servers").get(layout.FIRST) or b"")
                resolvers = layout.unpack_resolvers(open_map("resolvers").items())
    return Door(adapters, lan, servers, resolvers)


def _sync(copy: _Copy, door: Door) -> None:
    with _maps(copy) as open_map:
        if copy.source == "guard":
            slots = open_map(_DOOR)
            slots.set(layout.FIRST, layout.pack_adapters(door.adapters, slots.get(layout.FIRST)))
            if "lan" in copy.maps:
                _replace(open_map("lan"), layout.pack_lan(door.lan))
        elif copy.source == "dns" and "servers" in copy.maps:
            resolvers = layout.pack_resolvers(door.resolvers, door.dns_servers)
            open_map("servers").set(layout.FIRST, layout.pack_servers(door.dns_servers))
            _replace(open_map("resolvers"), resolvers)


def _replace(target: libbpf.Map, wanted: dict[bytes, bytes]) -> None:
    """Adds before deletes. Of prefixes the shortest go first: an exception outlives what it is one from."""
    present = target.items()
    for key, value in wanted.items():
        if present.get(key) != value:
            target.set(key, value)
    for key in sorted(present.keys() - wanted.keys(), key=layout.prefix_length):
        target.delete(key)


def _detach_copy(directory: int, copy: _Copy, kinds: Collection[str]) -> None:
    for name, program_id in reversed(copy.programs.items()):
        program = _BY_NAME[name]
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
