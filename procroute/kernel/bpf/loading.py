"""Load the objects into the kernel and attach their programs; say what the kernel lacks when it refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from procroute.core.door import Door, Marking
from procroute.errors import ProcrouteError
from procroute.kernel import libbpf
from procroute.kernel.bpf import layout, objects
from procroute.kernel.bpf.catalogue import BY_SOURCE, DOOR, MAPS, RODATA, UNIX_CONNECT, Program, object_path

_retval = True


@contextmanager
def load(source: str, marking: Marking, door: Door) -> Iterator[objects.Object]:
    """An object in the kernel, its maps filled, not attached; closed at the end."""
    try:
        loaded = _load_object(source, marking, door)
    except OSError as error:
        raise _load_error(error) from error
    with loaded:
        if source == "guard":
            _fill(loaded.map("lan", *MAPS["lan"]), layout.pack_lan(door.lan))
            _fill(loaded.map("addresses", *MAPS["addresses"]), layout.pack_addresses(door.addresses))
        elif source == "dns":
            servers = layout.pack_servers(door.dns_servers)
            loaded.map("servers", *MAPS["servers"]).set(layout.FIRST, servers)
            resolvers = layout.pack_resolvers(door.resolvers, door.dns_servers)
            _fill(loaded.map("resolvers", *MAPS["resolvers"]), resolvers)
        yield loaded


def _load_object(source: str, marking: Marking, door: Door) -> objects.Object:
    global _retval  # what the kernel has does not change while we run
    for retval in (True, False) if _retval else (False,):
        loaded = objects.Object(object_path(source))
        try:
            loaded.preset(RODATA, layout.pack_cfg(marking, retval))
            if source == "helpers":
                loaded.expect("pr_helper", UNIX_CONNECT)
            if source == "guard":
                loaded.preset(DOOR, layout.pack_door(door.adapters, door.present, door.addresses))
            loaded.load()
        except OSError as error:
            loaded.close()
            if not retval or error.errno not in {errno.EINVAL, errno.EACCES}:
                raise
        except BaseException:
            loaded.close()
            raise
        else:
            _retval = retval
            return loaded
    raise AssertionError("the last attempt returns or raises")


def _fill(target: objects.Map, entries: dict[bytes, bytes]) -> None:
    for key, value in entries.items():
        target.set(key, value)


def attach_objects(cgroup: str, directory: int, all_of: list[tuple[str, objects.Object]]) -> None:
    """Attach all programs of these objects, or none. cgroup: for messages; directory: its file descriptor."""
    done: list[tuple[int, int]] = []
    try:
        for source, loaded in all_of:
            for program in BY_SOURCE[source]:
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


def _attach_error(error: OSError, cgroup: str, program: Program) -> ProcrouteError:
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
