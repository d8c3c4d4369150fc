"""What is written on targets: which cgroups are routes', and what these are.

A target carries its route in an extended attribute: it goes when the target goes, and no file has to agree
with the kernel. Targets belong to a network namespace; cgroups do not, so the record names it. It holds the
identity, too, by whose numbers the route was made: the configuration may have changed since.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from procroute.core.unit_names import slice_of
from procroute.errors import ProcrouteError
from procroute.identity import SLICE, XATTR, Identity
from procroute.kernel import cgroups, files
from procroute.kernel.refusal import refused
from procroute.kernel.user_managers import TREE
from procroute.model import HOLD, IPAddress, LiveRoute, Marks, OnDown, Owner, Route


class _Record(msgspec.Struct, frozen=True, cache_hash=True):
    """What is written on a target."""

    namespace: int
    identity: Identity
    number: int
    adapter: str
    strict: bool
    gateway4: str
    gateway6: str
    dns: tuple[str, ...] | None
    servers: tuple[str, ...]
    known: tuple[str, ...]
    silent: tuple[str, ...] = ()
    no_lookups: bool = False
    ifindex: int = 0
    marks: Marks = Marks.SOCKETS
    others: tuple[str, ...] = ()
    on_down: OnDown | None = None
    reset: bool = False
    hold: float = HOLD
    inbound: bool = False
    members: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    by_main: bool = False
    silent_others: tuple[tuple[int, str], ...] = ()
    owners: tuple[Owner, ...] = ()
    tunnels: tuple[tuple[int, int], ...] = ()


_RECORD = msgspec.json.Decoder(_Record)
"""Made here, by one thread: two that decode a type for the first time at once may crash in msgspec (0.22)."""


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
            live = _live(record)
            used = bool(live.owners) or cgroups.in_use(path) or carries(live)
            found.append(Target(path, record.identity, live, used))
    return found


def carries(live: LiveRoute) -> bool:
    """Whether a tunnel of the kernel's that takes a route is there: so it is in use, as by a process."""
    return any(port and _is_there(ifindex) for ifindex, port in live.tunnels)


def _is_there(ifindex: int) -> bool:
    try:
        return bool(socket.if_indextoname(ifindex))
    except OSError:
        return False


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
    route = live.route
    record = _Record(
        namespace=namespace,
        identity=identity,
        number=live.number,
        adapter=route.adapter,
        strict=route.strict,
        gateway4=str(route.gateway4 or ""),
        gateway6=str(route.gateway6 or ""),
        dns=None if route.dns is None else tuple(map(str, route.dns)),
        servers=tuple(map(str, live.servers)),
        known=tuple(map(str, live.known)),
        silent=tuple(map(str, live.silent)),
        no_lookups=live.no_lookups,
        ifindex=live.ifindex,
        marks=live.marks,
        others=route.others,
        on_down=route.on_down,
        reset=route.reset,
        hold=route.hold,
        inbound=route.inbound,
        members=live.members,
        left=live.left,
        by_main=live.by_main,
        silent_others=tuple((ifindex, str(g)) for ifindex, g in live.silent_others),
        owners=live.owners,
        tunnels=live.tunnels,
    )
    try:
        files.set_attribute(path, XATTR, msgspec.json.encode(record))
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


def _read(path: Path) -> _Record | None:
    try:
        return _decoded(os.getxattr(path, XATTR))
    except (OSError, msgspec.DecodeError):
        return None


@lru_cache(4096)  # the same bytes say the same: most of what is there was there at the last look
def _decoded(text: bytes) -> _Record:
    return _RECORD.decode(text)


@lru_cache(4096)
def _live(record: _Record) -> LiveRoute:
    route = Route(
        adapter=record.adapter,
        strict=record.strict,
        gateway4=ip_address(record.gateway4) if record.gateway4 else None,  # type: ignore[arg-type]
        gateway6=ip_address(record.gateway6) if record.gateway6 else None,  # type: ignore[arg-type]
        dns=None if record.dns is None else _addresses(record.dns),
        others=record.others,
        on_down=record.on_down,
        reset=record.reset,
        hold=record.hold,
        inbound=record.inbound,
    )
    servers, known, silent = map(_addresses, (record.servers, record.known, record.silent))
    return LiveRoute(
        route,
        record.number,
        servers,
        known,
        silent,
        record.no_lookups,
        record.ifindex,
        record.marks,
        record.members,
        record.left,
        record.by_main,
        tuple((ifindex, ip_address(g)) for ifindex, g in record.silent_others),
        record.owners,
        record.tunnels,
    )


def _addresses(texts: tuple[str, ...]) -> tuple[IPAddress, ...]:
    return tuple(ip_address(text) for text in texts)
