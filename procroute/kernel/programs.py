"""The BPF programs of a route on its target: attach, read back, change, count, detach.

    attach("/sys/fs/cgroup/procroute.slice/procroute-wan1.slice", marking, door)
    update(cgroup, other_door)            # from any process
    drops(cgroup)                         # {ifindex: packets}

The kernel is the only record. Programs are attached to the cgroup itself, not held by a link or a pin: they
outlive the process that attached them and die with the cgroup, or with the last socket made in it. Programs
of others on the same cgroup are left as they are.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from msgspec import Struct

from procroute.core.door import Door, Marking
from procroute.core.traffic import Flow, Traffic
from procroute.errors import ProcrouteError
from procroute.kernel.bpf import layout, objects, support
from procroute.kernel.bpf.catalogue import PROGRAMS
from procroute.kernel.bpf.copies import detach_copy, find, maps_of, read_door, sync
from procroute.kernel.bpf.loading import attach_objects, load

KINDS: Final = frozenset(program.kind for program in PROGRAMS)
_COMES_AND_GOES: Final = frozenset({"dns", "helpers", "inbound"})


class Attached(Struct, frozen=True):
    """What is attached to a cgroup. complete: every program that this door needs is there and of one marking;
    kinds: those of which every program is there."""

    marking: Marking
    door: Door
    complete: bool
    kinds: frozenset[str]


def attach(cgroup: str, marking: Marking, door: Door, *, instead: bool = False) -> None:
    """Attach a route's programs to its target, or bring those that are there to `door`.

    instead: those of another route that are there go, once the new ones are attached.

    What a crash or somebody else left incomplete is replaced, new before old. Raises ProcrouteError, with
    nothing of this call left attached, where the kernel or another program does not allow it, and
    bpf-attached where the cgroup already has another marking.
    """
    with directory_of(cgroup) as directory, ExitStack() as stack:
        everybodys = find(directory)
        copies = [copy for copy in everybodys if copy.marking == marking]
        if len(copies) < len(everybodys) and not instead:
            raise ProcrouteError(
                "bpf-attached", f"{cgroup} already follows another route", hint="procroute cleanup"
            )
        fresh: list[tuple[str, objects.Object]] = []
        stale = [copy for copy in everybodys if copy not in copies]
        needed = _needed(directory, door)
        for source in needed:
            found = [copy for copy in copies if copy.source == source]
            whole = next((copy for copy in found if copy.whole), None)
            if whole is None:
                fresh += _loaded(stack, source, marking, door)
            else:
                sync(whole, door)
            stale += [copy for copy in found if copy is not whole]
        stale += [copy for copy in copies if copy.source not in needed]
        attach_objects(cgroup, directory, fresh)
        for copy in sorted(stale, key=lambda copy: copy.source == "guard"):
            detach_copy(directory, copy, KINDS)


def attached(cgroup: str) -> Attached | None:
    """What is attached to a cgroup, read from the kernel; None when nothing of ours is, or no such cgroup."""
    try:
        with directory_of(cgroup) as directory:
            copies = find(directory)
            if not copies:
                return None
            whole = {copy.source for copy in copies if copy.whole}
            door = read_door(copies)
            needed = _needed(directory, door)
    except ProcrouteError as error:
        if error.code == "cgroup-missing":
            return None
        raise
    present = {name for copy in copies for name in copy.programs}
    kinds = {kind for kind in KINDS if all(p.name in present for p in PROGRAMS if p.kind == kind)}
    marking = copies[0].marking
    agreed = all(copy.marking == marking for copy in copies)
    return Attached(marking, door, agreed and whole.issuperset(needed), frozenset(kinds))


def update(cgroup: str, door: Door) -> None:
    """Bring what is attached to another door: adds before deletes, no prefix or adapter missing meanwhile.

    Programs for look-ups and for inbound come and go with the door; otherwise what is missing stays missing.
    """
    with directory_of(cgroup) as directory:
        needed = _needed(directory, door)
        copies = find(directory)
        if not copies:
            raise ProcrouteError("bpf-missing", f"no programs of procroute are attached to {cgroup}")
        for copy in copies:
            if copy.source in needed:
                sync(copy, door)
            else:
                detach_copy(directory, copy, KINDS)
        missing = _COMES_AND_GOES.intersection(needed).difference(copy.source for copy in copies)
        with ExitStack() as stack:
            fresh = [one for s in sorted(missing) for one in _loaded(stack, s, copies[0].marking, door)]
            attach_objects(cgroup, directory, fresh)


def can_close_helpers(cgroup: str) -> bool:
    """Whether this kernel can keep processes from those who look names up in their stead."""
    with directory_of(cgroup) as directory:
        return support.closes_helpers(directory)


def drops(cgroup: str) -> dict[int, int]:
    """Packets that the guard dropped, by the ifindex of the adapter they would have left by, or whose address
    they carried."""
    total: dict[int, int] = {}
    with directory_of(cgroup) as directory:
        for copy in find(directory):
            if "drops" not in copy.maps:
                continue
            with maps_of(copy) as open_map:
                counted = layout.unpack_drops(open_map("drops").items())
            for ifindex, packets in counted.items():
                total[ifindex] = total.get(ifindex, 0) + packets
    return total


def traffic(cgroup: str) -> Traffic:
    """What has gone out and come in by whatever adapter but loopback, since the programs were attached."""
    out, into = Flow(), Flow()
    with directory_of(cgroup) as directory:
        for copy in find(directory):
            if "traffic" not in copy.maps:
                continue
            with maps_of(copy) as open_map:
                counters = open_map("traffic")
                out += Flow(*layout.unpack_traffic(counters.get_each(layout.OUT)))
                into += Flow(*layout.unpack_traffic(counters.get_each(layout.IN)))
    return Traffic(out, into)


def detach(cgroup: str, kinds: Collection[str] = KINDS) -> None:
    """Detach programs of ours by kind; what is not there, or a cgroup that is gone, is fine.

    The mark goes first and the guard last.
    """
    if unknown := set(kinds) - KINDS:
        raise ValueError(f"no such kinds: {sorted(unknown)}")
    try:
        with directory_of(cgroup) as directory:
            for copy in sorted(find(directory), key=lambda copy: copy.source == "guard"):
                detach_copy(directory, copy, kinds)
    except ProcrouteError as error:
        if error.code != "cgroup-missing":
            raise


def _needed(directory: int, door: Door) -> tuple[str, ...]:
    """The objects that a door needs, in the order of attaching."""
    wanted = {
        "guard": True,
        "dns": door.follows_lookups,
        "helpers": door.follows_lookups and support.closes_helpers(directory),
        "inbound": door.inbound,
        "mark": True,
    }
    return tuple(source for source, is_wanted in wanted.items() if is_wanted)


def _loaded(stack: ExitStack, source: str, marking: Marking, door: Door) -> list[tuple[str, objects.Object]]:
    """An object in the kernel, closed with the stack; none, where it is one that we can do without."""
    try:
        return [(source, stack.enter_context(load(source, marking, door)))]
    except ProcrouteError:
        if source != "helpers":
            raise
        support.helpers_refused()
        return []


@contextmanager
def directory_of(cgroup: str) -> Iterator[int]:
    """A descriptor of a cgroup; closed at the end.

    Raises ProcrouteError cgroup-missing, and bpf-refused for what the kernel refuses within.
    """
    try:
        directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcrouteError("cgroup-missing", f"there is no cgroup {cgroup}") from None
    try:
        yield directory
    except OSError as error:
        raise ProcrouteError("bpf-refused", f"BPF programs on {cgroup}: {error.strerror}") from error
    finally:
        os.close(directory)
