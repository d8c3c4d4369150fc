"""The tree of targets and assignments in cgroup v2, with what is known of them written on it.

    <mount>/procroute.slice/procroute-wan1.slice/run-4711.scope

A target carries its route in an extended attribute: it goes when the target goes, and no file has to agree
with the kernel. Targets belong to a network namespace; cgroups do not, so the record names it. It holds the
identity, too, by whose numbers the route was made: the configuration may have changed since.

populated: a process is in it. attended: an engine lives that cares for it. in use: one of both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from procroute.core.unit_names import slice_of
from procroute.errors import ProcrouteError
from procroute.identity import SLICE, XATTR, Identity
from procroute.kernel import cgroup_mount, files
from procroute.kernel.refusal import refused
from procroute.kernel.user_managers import TREE
from procroute.model import IPAddress, LiveRoute, Marks, Route

_FLOCK = "hhqqi0q"  # struct flock, fcntl(2)
LINKS_OF_A_LEAF: Final = 2
"""Of a cgroup without children (fs/kernfs/inode.c)."""


class _Record(msgspec.Struct, frozen=True):
    """What is written on a target."""

    namespace: int
    identity: Identity
    number: int
    adapter: str
    strict: bool
    gateway4: str
    gateway6: str
    dns: list[str] | None
    servers: list[str]
    known: list[str]
    silent: list[str] = []
    no_lookups: bool = False
    ifindex: int = 0
    marks: Marks = Marks.SOCKETS


_RECORD = msgspec.json.Decoder(_Record)
"""Made here, by one thread: two that decode a type for the first time at once may crash in msgspec (0.22)."""


class Target(Struct, frozen=True):
    """A route's cgroup: where it is, what it is, by whose numbers it was made, whether it is in use."""

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
            found.append(Target(path, record.identity, _live(record), in_use(path)))
    return found


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
    return [p for p, record in records if record and record.namespace != namespace and not in_use(p)]


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


def add_target(make: Callable[[str], Path], namespace: int, identity: Identity, live: LiveRoute) -> Path:
    """Make the cgroup of a route; with a suffix where another network namespace has one of that name.

    make: makes it, from the name of its slice (Placement.make).
    """
    for name in (live.route.name, f"{live.route.name}@{namespace}"):
        try:
            path = make(slice_of(name))
        except FileExistsError:
            continue
        except OSError as e:
            raise refused(e, "cgroup", f"make the cgroup {slice_of(name)}") from e
        describe(path, namespace, identity, live)
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
        dns=None if route.dns is None else [str(s) for s in route.dns],
        servers=[str(s) for s in live.servers],
        known=[str(g) for g in live.known],
        silent=[str(g) for g in live.silent],
        no_lookups=live.no_lookups,
        ifindex=live.ifindex,
        marks=live.marks,
    )
    try:
        files.set_attribute(path, XATTR, msgspec.json.encode(record))
    except OSError as e:
        raise refused(e, "cgroup", f"write on the cgroup {path}") from e


def remove_tree(path: Path) -> None:
    """Remove a cgroup and those below it; no process may be left in them. Gone already is no error."""
    try:
        below = [e.path for e in os.scandir(path) if e.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for child in below:
        remove_tree(Path(child))
    try:
        files.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as e:
        raise refused(e, "cgroup", f"remove the cgroup {path}") from e


def remove_root(mount: Path) -> None:
    """Remove procroute.slice when nobody has a target in it."""
    if not (mount / SLICE).exists():
        return  # where the mount is read-only, rmdir(2) would not say ENOENT
    try:
        files.rmdir(mount / SLICE)
    except OSError as e:
        if e.errno not in (errno.ENOTEMPTY, errno.EBUSY, errno.ENOENT):
            raise refused(e, "cgroup", f"remove {SLICE}") from e


def add_assignment(target: Path, name: str, origin: str) -> Path:
    """Make the cgroup of an assignment below a target. origin: the cgroup that its processes come from."""
    for n in range(1000):
        path = target / f"{name}{f'.{n}' if n else ''}.scope"
        try:
            files.mkdir(path)
        except FileExistsError:
            continue
        except OSError as e:
            raise refused(e, "cgroup", f"make the cgroup {path}") from e
        note_origin(path, origin)
        return path
    raise ProcrouteError(
        "target-taken", f"too many assignments named {name} in {target}", "procroute cleanup"
    )


def note_origin(assignment: Path, origin: str) -> None:
    """Write on an assignment the cgroup that its processes come from. One that has gone is fine."""
    with contextlib.suppress(FileNotFoundError):
        files.set_attribute(assignment, XATTR, os.fsencode(origin))


def origin(assignment: Path) -> str:
    """The cgroup, from the mount point, that an assignment's processes came from; the root if unknown."""
    try:
        return os.fsdecode(os.getxattr(assignment, XATTR))
    except OSError:
        return "/"


def populated(path: Path) -> bool:
    """Whether a process is in a cgroup or below (cgroup-v2.rst, cgroup.events). Not, when it is gone."""
    try:
        return b"populated 1" in _text(f"{path}/cgroup.events")
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENODEV):
            return False
        raise


def attend(target: Path) -> int:
    """Keep a target from being taken for a leftover while its engine lives; ends with the descriptor."""
    descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole(fcntl.F_RDLCK))
    return descriptor


def attended(target: Path) -> bool:
    """Whether an engine attends to a target: the last packets may still go out. Asking takes no lock."""
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole(fcntl.F_WRLCK))
    finally:
        os.close(descriptor)
    kind: int = struct.unpack(_FLOCK, answer)[0]
    return kind != fcntl.F_UNLCK


def _whole(kind: int) -> bytes:
    """A lock on all of a file, of an open file description (fcntl(2), struct flock)."""
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def in_use(target: Path) -> bool:
    """Whether a target is populated or attended. What is not is a leftover."""
    return populated(target) or attended(target)


def processes(path: Path) -> Iterator[tuple[int, Path]]:
    """The processes in a cgroup and below, with the cgroup that each is in. 0: not visible from here."""
    for folder, _ in _tree(path):
        try:
            text = _text(f"{folder}/cgroup.procs")
        except OSError:
            continue
        yield from ((int(pid), folder) for pid in text.split())


def ids(path: Path) -> frozenset[int]:
    """The ids of a cgroup and of those below it, by which the kernel tells of them in sock_diag(7)."""
    return frozenset(number for _, number in _tree(path))


def _tree(path: Path) -> Iterator[tuple[Path, int]]:
    """A cgroup and those below it, each with its id. One without children, as its links tell, is not listed:
    it has many files."""
    try:
        found = os.stat(path)
    except OSError:
        return  # it has gone
    yield path, found.st_ino
    if found.st_nlink != LINKS_OF_A_LEAF:
        for name in children(path):
            yield from _tree(path / name)


def children(path: Path) -> list[str]:
    """The names of the cgroups in a cgroup; none where it has gone."""
    try:
        with os.scandir(path) as inside:
            return sorted(e.name for e in inside if e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _text(file: str) -> bytes:
    """As a file object would, in a third of the time: this is asked of thousands of cgroups."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    text = b""
    try:
        while more := os.read(descriptor, 1 << 16):
            text += more
    finally:
        os.close(descriptor)
    return text


def current(mount: Path, pid: int | str = "self") -> str:
    """The cgroup of a process, or the caller's own, from the mount point; its root if it is not seen there.

    Raises OSError where there is no such process.
    """
    return cgroup_mount.at(mount).below(cgroup_mount.of_process(pid) or "/") or "/"


def enter(path: Path, pid: int = 0) -> None:
    """Move a process into a cgroup; 0 is the caller. Costs an RCU grace period, about 8 ms.

    Raises ProcrouteError, also where there is no such cgroup.
    """
    try:
        file = f"{path}/cgroup.procs"
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            files.put(descriptor, str(pid), file)
        finally:
            os.close(descriptor)
    except OSError as e:
        raise refused(e, "cgroup", f"move a process to {path}") from e


def _read(path: Path) -> _Record | None:
    try:
        return _RECORD.decode(os.getxattr(path, XATTR))
    except (OSError, msgspec.DecodeError):
        return None


def _live(record: _Record) -> LiveRoute:
    route = Route(
        adapter=record.adapter,
        strict=record.strict,
        gateway4=ip_address(record.gateway4) if record.gateway4 else None,  # type: ignore[arg-type]
        gateway6=ip_address(record.gateway6) if record.gateway6 else None,  # type: ignore[arg-type]
        dns=None if record.dns is None else _addresses(record.dns),
    )
    servers, known, silent = map(_addresses, (record.servers, record.known, record.silent))
    return LiveRoute(
        route, record.number, servers, known, silent, record.no_lookups, record.ifindex, record.marks
    )


def _addresses(texts: list[str]) -> tuple[IPAddress, ...]:
    return tuple(ip_address(text) for text in texts)
