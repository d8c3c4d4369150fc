"""The tree of targets and assignments in cgroup v2, with what is known of them written on it.

    <mount>/procroute.slice/procroute-wan1.slice/run-4711.scope

A target carries its route in an extended attribute: it goes when the target goes, and no file has to agree
with the kernel. Targets belong to a network namespace; cgroups do not, so the record names it. It holds the
identity, too, by whose numbers the route was made: the configuration may have changed since.

populated: a process is in it. attended: an engine lives that cares for it. in use: one of both.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from procroute.core.unit_names import slice_of
from procroute.errors import ProcrouteError
from procroute.identity import SLICE, XATTR, Identity
from procroute.kernel.refusal import refused
from procroute.model import IPAddress, LiveRoute, Route

_FLOCK = "hhqqi0q"  # struct flock, fcntl(2)


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


class Target(Struct, frozen=True):
    """A route's cgroup: where it is, what it is, by whose numbers it was made, whether it is in use."""

    path: Path
    identity: Identity
    live: LiveRoute
    in_use: bool


def mount_point() -> Path:
    """Where cgroup v2 is mounted, told from mountinfo (proc(5)); the shortest path where there are several.

    Raises ProcrouteError cgroup-missing.
    """
    found = []
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        if after.split(" ", 1)[0] == "cgroup2":
            root, path = before.split(" ")[3:5]
            path = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), path)
            if os.path.exists(f"{path}/cgroup.controllers"):  # not so where another mount covers it
                found.append((root != "/", len(path), path))
    if not found:
        raise ProcrouteError(
            "cgroup-missing", "cgroup v2 is not mounted", "mount -t cgroup2 none /sys/fs/cgroup (as root)"
        )
    return Path(min(found)[2])


def targets(mount: Path, namespace: int) -> list[Target]:
    """The targets of one network namespace, by whatever numbers they were made."""
    found = []
    for path in sorted((mount / SLICE).glob("procroute-*.slice")):
        record = _read(path)
        if record is not None and record.namespace == namespace:
            found.append(Target(path, record.identity, _live(record), in_use(path)))
    return found


def identities(mount: Path, namespace: int) -> set[Identity]:
    """Those by whose numbers the targets of a network namespace were made."""
    records = map(_read, (mount / SLICE).glob("procroute-*.slice"))
    return {record.identity for record in records if record and record.namespace == namespace}


def unnamed(mount: Path) -> list[Path]:
    """Targets that nothing is written on: an engine died between making and naming them."""
    return [p for p in (mount / SLICE).glob("procroute-*.slice") if _read(p) is None]


def abandoned(mount: Path, namespace: int) -> list[Path]:
    """Targets of other network namespaces that nothing uses.

    Such a namespace may have gone with its last process, and a cgroup outlives that. Where it has not, its
    rules and tables are found without the cgroup.
    """
    paths = sorted((mount / SLICE).glob("procroute-*.slice"))
    records = ((path, _read(path)) for path in paths)
    return [p for p, record in records if record and record.namespace != namespace and not in_use(p)]


def add_target(mount: Path, namespace: int, identity: Identity, live: LiveRoute) -> Path:
    """Make the cgroup of a route; with a suffix where another network namespace has one of that name."""
    top = mount / SLICE
    for name in (live.route.name, f"{live.route.name}@{namespace}"):
        path = top / slice_of(name)
        try:
            top.mkdir(exist_ok=True)
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as e:
            raise refused(e, "cgroup", f"make the cgroup {path}") from e
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
    )
    try:
        os.setxattr(path, XATTR, msgspec.json.encode(record))
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
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as e:
        raise refused(e, "cgroup", f"remove the cgroup {path}") from e


def remove_root(mount: Path) -> None:
    """Remove procroute.slice when nobody has a target in it."""
    try:
        (mount / SLICE).rmdir()
    except OSError as e:
        if e.errno not in (errno.ENOTEMPTY, errno.EBUSY, errno.ENOENT):
            raise refused(e, "cgroup", f"remove {SLICE}") from e


def add_assignment(target: Path, name: str, origin: str) -> Path:
    """Make the cgroup of an assignment below a target. origin: the cgroup that its processes come from."""
    for n in range(1000):
        path = target / f"{name}{f'.{n}' if n else ''}.scope"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        except OSError as e:
            raise refused(e, "cgroup", f"make the cgroup {path}") from e
        os.setxattr(path, XATTR, os.fsencode(origin))
        return path
    raise ProcrouteError(
        "target-taken", f"too many assignments named {name} in {target}", "procroute cleanup"
    )


def origin(assignment: Path) -> str:
    """The cgroup, from the mount point, that an assignment's processes came from; the root if unknown."""
    try:
        return os.fsdecode(os.getxattr(assignment, XATTR))
    except OSError:
        return "/"


def populated(path: Path) -> bool:
    """Whether a process is in a cgroup or below (cgroup-v2.rst, cgroup.events). Not, when it is gone."""
    try:
        return "populated 1" in (path / "cgroup.events").read_text()
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
    for folder, _, _ in os.walk(path):
        try:
            text = (Path(folder) / "cgroup.procs").read_text()
        except OSError:
            continue
        yield from ((int(pid), Path(folder)) for pid in text.split())


def current() -> str:
    """The caller's own cgroup, from the mount point (cgroups(7), /proc/self/cgroup)."""
    for line in _lines("/proc/self/cgroup"):
        if line.startswith("0::"):
            return line[3:]
    return "/"


def enter(path: Path, pid: int = 0) -> None:
    """Move a process into a cgroup; 0 is the caller. Costs an RCU grace period, about 8 ms.

    Raises ProcrouteError, also where there is no such cgroup.
    """
    try:
        descriptor = os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, str(pid).encode())
        finally:
            os.close(descriptor)
    except OSError as e:
        raise refused(e, "cgroup", f"move a process to {path}") from e


def _lines(file: str) -> list[str]:
    """The lines of a file of /proc with paths in it, which may be any bytes."""
    return os.fsdecode(Path(file).read_bytes()).split("\n")


def _read(path: Path) -> _Record | None:
    try:
        return msgspec.json.decode(os.getxattr(path, XATTR), type=_Record)
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
    return LiveRoute(route, record.number, servers, known, silent, record.no_lookups)


def _addresses(texts: list[str]) -> tuple[IPAddress, ...]:
    return tuple(ip_address(text) for text in texts)
