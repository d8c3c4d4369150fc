"""The tree of targets and assignments in cgroup v2, with what is known of them written on it.

    <mount>/procroute.slice/procroute-wan1.slice/run-4711.scope

A target carries its route in an extended attribute: it goes when the target goes, and no file has to agree
with the kernel. Targets belong to a network namespace; cgroups do not, so the record names it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from procroute.core.unit_names import slice_of
from procroute.errors import ProcrouteError
from procroute.identity import SLICE, XATTR
from procroute.kernel.refusal import refused
from procroute.model import IPAddress, LiveRoute, Route


class _Record(msgspec.Struct, frozen=True):
    """What is written on a target."""

    namespace: int
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
    """A route's cgroup: where it is, what it is, whether a process or an engine uses it."""

    path: Path
    live: LiveRoute
    used: bool


def mount_point() -> Path:
    """Where cgroup v2 is mounted, told from mountinfo (proc(5)); the shortest path where there are several.

    Raises ProcrouteError cgroup-missing.
    """
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
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
    """The targets of one network namespace."""
    found = []
    for path in sorted((mount / SLICE).glob("procroute-*.slice")):
        record = _read(path)
        if record is not None and record.namespace == namespace:
            found.append(Target(path, _live(record), in_use(path)))
    return found


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


def add_target(mount: Path, namespace: int, live: LiveRoute) -> Path:
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
        describe(path, namespace, live)
        return path
    raise ProcrouteError("target-taken", f"the cgroup of {live.route.name} is taken", "procroute cleanup")


def describe(path: Path, namespace: int, live: LiveRoute) -> None:
    """Write on a target what it is."""
    route = live.route
    record = _Record(
        namespace=namespace,
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
        os.setxattr(path, XATTR, origin.encode())
        return path
    raise ProcrouteError(
        "target-taken", f"too many assignments named {name} in {target}", "procroute cleanup"
    )


def origin(assignment: Path) -> str:
    """The cgroup, from the mount point, that an assignment's processes came from; the root if unknown."""
    try:
        return os.getxattr(assignment, XATTR).decode()
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
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def in_use(target: Path) -> bool:
    """Whether a target has processes, or an engine that attends to it: the last packets may still go out."""
    if populated(target):
        return True
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


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
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:]
    return "/"


def enter(path: Path, pid: int = 0) -> None:
    """Move a process into a cgroup; 0 is the caller. Costs an RCU grace period, about 8 ms."""
    try:
        (path / "cgroup.procs").write_text(str(pid))
    except OSError as e:
        raise refused(e, "cgroup", f"move a process to {path}") from e


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
