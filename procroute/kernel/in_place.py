"""Targets in place: a unit's own cgroup follows a route, and none of its processes moves.

    <mount>/system.slice/backup.service        trusted.procroute: the record of its route, as on every target
    <mount>/procroute.slice/procroute-wan1.slice
                                               trusted.procroute.in_place: ["system.slice/backup.service"]

Such a target may be anywhere in the tree. The route's own target lists them, so that a look need not walk it.
A cgroup that is listed counts only while it says the same of itself: one that has been made anew at that
path, for the unit's next start, is none. `everywhere` finds those that nobody lists, too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from procroute.identity import SLICE, XATTR, Identity
from procroute.kernel import cgroups, files, records
from procroute.kernel.records import Target
from procroute.kernel.refusal import refused
from procroute.model import LiveRoute

_LIST: Final = f"{XATTR}.in_place"
_OURS: Final = ("run-", "assign-", "procroute-run-", "procroute-assign-")
"""How the names of assignments begin (kernel/placement.py)."""


def is_in_place(target: Path) -> bool:
    """Whether a target is a unit's own cgroup; the others are slices in a procroute.slice."""
    return target.parent.name != SLICE


def targets(mount: Path, namespace: int) -> list[Target]:
    """The targets in place of one network namespace, by whatever numbers they were made."""
    listing = ((path, places) for path in records.slices(mount) if (places := _listed(path)))
    return [
        found
        for path, places in listing
        for of in records.those_of(namespace, [path])
        for found in records.those_of(namespace, (mount / place for place in places))
        if (found.identity, found.live.number) == (of.identity, of.live.number)
    ]


def everywhere(mount: Path, namespace: int) -> Iterator[Target]:
    """The same, also those that no target lists: the whole tree is walked."""
    return iter(records.those_of(namespace, filter(is_in_place, _walk(mount))))


def _walk(path: Path) -> Iterator[Path]:
    """A cgroup and all below. One without children, as its links tell, is not listed: it has many files."""
    yield path
    with contextlib.suppress(OSError):  # it has gone
        if os.stat(path).st_nlink > cgroups.LINKS_OF_A_LEAF:
            below = [e.path for e in os.scandir(path) if e.is_dir(follow_symlinks=False)]
            # What we have made in a target is no unit, and there may be thousands.
            made_by_us = _OURS if path.parent.name == SLICE else ()
            for each in map(Path, below):
                if not each.name.startswith(made_by_us):
                    yield from _walk(each)


def add(mount: Path, target: Path, place: Path, namespace: int, identity: Identity, live: LiveRoute) -> None:
    """Make a cgroup a target in place of a route. target: the route's own. Raises ProcrouteError.

    Listed first: a cgroup that is listed and says nothing of itself is none.
    """
    listed = [p for p in _listed(target) if records.named(mount / p)]
    _write(target, [*dict.fromkeys((*listed, _name(mount, place)))])
    records.describe(place, namespace, identity, live)


def remove(mount: Path, place: Path, listers: Iterable[Path]) -> None:
    """A cgroup is no target any more; one that has gone is fine. listers: the targets of routes.

    Raises ProcrouteError.
    """
    records.forget(place)
    unlist(mount, place, listers)


def unlist(mount: Path, place: Path, listers: Iterable[Path]) -> None:
    """It is in place of none of these routes. Raises ProcrouteError."""
    name = _name(mount, place)
    for target in listers:
        listed = _listed(target)
        if name in listed:
            _write(target, [p for p in listed if p != name])


def _name(mount: Path, place: Path) -> str:
    return str(place.relative_to(mount))


def _listed(target: Path) -> list[str]:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(os.getxattr(target, _LIST), type=list[str])
    return []


def _write(target: Path, places: list[str]) -> None:
    try:
        files.set_attribute(target, _LIST, msgspec.json.encode(places))
    except FileNotFoundError:
        pass  # it lists nothing any more
    except OSError as e:
        raise refused(e, "cgroup", f"write on the cgroup {target}") from e
