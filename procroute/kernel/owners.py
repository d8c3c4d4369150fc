"""The BPF programs at the root of the cgroup tree that mark users' sockets by whose they are: read, and set.

    put(mount, identity, frozenset({Owned(1000, number=3)}))
    read(mount, identity)

Nothing is pinned: they are attached to the root itself, and outlive who attached them. What is fixed in them
tells them from those of another identity or network namespace; they mark sockets of their namespace alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from procroute.core.door import Door, Marking
from procroute.core.owners import Owned
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.kernel import netns
from procroute.kernel.bpf import layout, objects
from procroute.kernel.bpf.catalogue import MAPS, OWNER_PROGRAMS
from procroute.kernel.bpf.copies import Copy, detach_copy, find, maps_of
from procroute.kernel.bpf.loading import attach_objects, load
from procroute.kernel.programs import directory_of

ROOM: Final = 1024
"""So many users at most (owner.bpf.c): what is written on a target has to hold them, too."""
_SOURCE: Final = "owner"
_KINDS: Final = frozenset({_SOURCE})


def read(mount: Path, identity: Identity) -> frozenset[Owned] | None:
    """Who is told to them; nobody where they are not there, None where they are in part, or twice.

    Raises ProcrouteError.
    """
    with directory_of(str(mount)) as directory:
        try:
            copies = _ours(directory, identity)
        except PermissionError:
            return frozenset()  # who may not ask has attached none
        if not copies:
            return frozenset()
        if len(copies) > 1 or not copies[0].whole:
            return None
        with maps_of(copies[0]) as open_map:
            owners, answering = open_map("owners").items(), open_map("answering").items()
    return frozenset(_owned(identity, uid, value, answering) for uid, value in owners.items())


def put(mount: Path, identity: Identity, owners: frozenset[Owned]) -> None:
    """Have these told, and no others; without any the programs go. Raises ProcrouteError."""
    with directory_of(str(mount)) as directory:
        copies = _ours(directory, identity)
        whole = next((copy for copy in copies if copy.whole), None) if owners else None
        if whole is not None:
            with maps_of(whole) as open_map:
                _tell(open_map("owners"), open_map("answering"), identity, owners)
        elif owners:
            if not netns.cookie():
                raise ProcrouteError(
                    "kernel-option", "this kernel does not number network namespaces", "Linux 5.14 does"
                )
            with load(_SOURCE, _marking(identity), Door(frozenset())) as loaded:
                told, answering = (loaded.map(name, *MAPS[name]) for name in ("owners", "answering"))
                _tell(told, answering, identity, owners)
                attach_objects(str(mount), directory, [(_SOURCE, loaded)])
        for copy in copies:
            if copy is not whole:
                detach_copy(directory, copy, _KINDS)


def _ours(directory: int, identity: Identity) -> list[Copy]:
    marking = _marking(identity)
    return [copy for copy in find(directory, OWNER_PROGRAMS) if copy.marking == marking]


def _marking(identity: Identity) -> Marking:
    """What is fixed in them; the mark is each user's own."""
    return Marking(0, identity.mark_mask, identity.bound, strict=False, namespace=netns.cookie())


def _owned(identity: Identity, uid: bytes, value: bytes, answering: Mapping[bytes, bytes]) -> Owned:
    mark, alone = layout.unpack_owner(value)
    strict = not any(answering.get(layout.pack_number(mark), b""))
    return Owned(layout.unpack_number(uid), identity.number(mark), alone, strict)


def _tell(told: objects.Map, answering: objects.Map, identity: Identity, owners: frozenset[Owned]) -> None:
    """Adds before deletes; whether servers answer is there before the first socket is marked."""
    number = layout.pack_number
    ways = {number(identity.mark(one.number)): number(not one.strict) for one in owners}
    wanted = {
        number(one.uid): layout.pack_owner(identity.mark(one.number), alone=one.alone) for one in owners
    }
    for target, entries in ((answering, ways), (told, wanted)):
        for key, value in entries.items():
            target.set(key, value)
    for target, entries in ((told, wanted), (answering, ways)):
        for key in target.items().keys() - entries.keys():
            target.delete(key)
