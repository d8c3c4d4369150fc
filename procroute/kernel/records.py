"""What is written on targets: which cgroups are routes', and what these are.

A target carries its route in an extended attribute: it goes when the target goes, and no file has to agree
with the kernel. Targets belong to a network namespace; cgroups do not, so the record names it. It holds the
identity, too, by whose numbers the route was made: the configuration may have changed since.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from procroute.core.unit_names import slice_of
from procroute.errors import ProcrouteError
from procroute.identity import SLICE, XATTR, Identity
from procroute.kernel import adapters, cgroups, files
from procroute.kernel.refusal import refused
from procroute.kernel.route_record import Record, decoded, encoded, live_of
from procroute.kernel.user_managers import TREE
from procroute.model import LiveRoute


class Target(Struct, frozen=True):
    """A route's cgroup: where it is, what it is, by whose numbers it was made, whether it is in use.

    One with owners is, also while none of them has a process.
    """

    path: Path
    identity: Identity
    live: LiveRoute
    in_use: bool


def targets(mount: Path, namespace: int) -> list[Target]:
    """The targets of one network namespace, by whatever numbers they were made."""
    return those_of(namespace, slices(mount))


def slices(mount: Path) -> Iterator[Path]:
    """The cgroups that may be routes' own targets."""
    return (mount / SLICE).glob("procroute-*.slice")


def users_targets(mount: Path, namespace: int) -> list[Target]:
    """The further targets of routes that are in users' own parts of systemd's tree."""
    return those_of(namespace, mount.glob(f"{TREE.format('*')}/{SLICE}/procroute-*.slice"))


def those_of(namespace: int, paths: Iterable[Path]) -> list[Target]:
    """Those of the cgroups that are targets of a network namespace, by their paths' order."""
    found = []
    for path in sorted(paths):
        record = _read(path)
        if record is not None and record.namespace == namespace:
            live = live_of(record)
            used = bool(live.owners) or cgroups.in_use(path) or carries(live)
            found.append(Target(path, record.identity, live, used))
    return found


def carries(live: LiveRoute) -> bool:
    """Whether a tunnel of the kernel's that takes a route is there: so it is in use, as by a process."""
    return any(port and adapters.is_there(ifindex) for ifindex, port in live.tunnels)


def identities(mount: Path, namespace: int) -> set[Identity]:
    """Those by whose numbers the targets of a network namespace were made."""
    records = map(_read, slices(mount))
    return {record.identity for record in records if record and record.namespace == namespace}


def within_target(mount: Path, cgroup: str) -> bool:
    """Whether a cgroup, named from the mount point, is a target or below one; of any network namespace.

    Root alone can write what a target is known by (xattr(7), trusted attributes).
    """
    path = Path(cgroup.lstrip("/"))
    return any(named(mount / p) for p in (path, *path.parents))


def unnamed(mount: Path) -> list[Path]:
    """Targets that nothing is written on: an engine died between making and naming them."""
    return [p for p in slices(mount) if _read(p) is None]


def abandoned(mount: Path, namespace: int) -> list[Path]:
    """Targets of other network namespaces that nothing uses.

    Such a namespace may have gone with its last process, and a cgroup outlives that. Where it has not, its
    rules and tables are found without the cgroup.
    """
    paths = sorted(slices(mount))
    records = ((path, _read(path)) for path in paths)
    return [p for p, record in records if record and record.namespace != namespace and not cgroups.in_use(p)]


def named(path: Path) -> bool:
    """Whether something is written on a target, by whatever engine and for whatever network namespace."""
    return _read(path) is not None


def forget(path: Path) -> None:
    """Take away what is written on a target: it is none any more."""
    try:
        for name in os.listxattr(path):
            if name.startswith(XATTR):
                files.remove_attribute(path, name)
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.ENODATA):
            raise refused(e, "cgroup", f"write on the cgroup {path}") from e


def add_target(
    make: Callable[[str], Path],
    unmake: Callable[[Path], None],
    namespace: int,
    identity: Identity,
    live: LiveRoute,
) -> Path:
    """Make the cgroup of a route; with a suffix where another network namespace has one of that name.

    make: makes it, from the name of its slice (Placement.make). unmake: removes it (Placement.remove).
    """
    for name in (live.route.name, f"{live.route.name}@{namespace}"):
        try:
            path = make(slice_of(name))
        except FileExistsError:
            continue
        except OSError as e:
            raise refused(e, "cgroup", f"make the cgroup {slice_of(name)}") from e
        try:
            describe(path, namespace, identity, live)
        except ProcrouteError:
            # Without that nobody would know whose it is.
            with contextlib.suppress(ProcrouteError):
                unmake(path)
            raise
        return path
    raise ProcrouteError("target-taken", f"the cgroup of {live.route.name} is taken", "procroute cleanup")


def describe(path: Path, namespace: int, identity: Identity, live: LiveRoute) -> None:
    """Write on a target what it is."""
    try:
        files.set_attribute(path, XATTR, encoded(namespace, identity, live))
    except OSError as e:
        raise refused(e, "cgroup", f"write on the cgroup {path}") from e


def remove_root(mount: Path) -> None:
    """Remove procroute.slice when nobody has a target in it."""
    if not (mount / SLICE).exists():
        return  # where the mount is read-only, rmdir(2) would not say ENOENT
    try:
        files.rmdir(mount / SLICE)
    except OSError as e:
        if e.errno not in (errno.ENOTEMPTY, errno.EBUSY, errno.ENOENT):
            raise refused(e, "cgroup", f"remove {SLICE}") from e


def plain_ids(path: Path) -> frozenset[int]:
    """The ids of a cgroup and those below it that are no targets, nor in one: all may be below it."""
    return frozenset(number for _, number in cgroups.tree(path, but=named))


def _read(path: Path) -> Record | None:
    try:
        return decoded(os.getxattr(path, XATTR))
    except (OSError, msgspec.DecodeError):
        return None
