"""Cgroups of version 2: who is in them, and whether somebody uses them; assignments, made and removed.

    <mount>/procroute.slice/procroute-wan1.slice/run-4711.scope

populated: a process is in it. attended: an engine lives that cares for it. in use: one of both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from procroute.errors import ProcrouteError
from procroute.identity import XATTR
from procroute.kernel import files
from procroute.kernel.refusal import refused

_FLOCK = "hhqqi0q"  # struct flock, fcntl(2)
LINKS_OF_A_LEAF: Final = 2
"""Of a cgroup without children (fs/kernfs/inode.c)."""


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
        try:
            note_origin(path, origin)
        except OSError as e:
            remove_tree(path)
            raise refused(e, "cgroup", f"write on the cgroup {path}") from e
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
    for folder, _ in tree(path):
        try:
            text = _text(f"{folder}/cgroup.procs")
        except OSError:
            continue
        yield from ((int(pid), folder) for pid in text.split())


def ids(path: Path) -> frozenset[int]:
    """The ids of a cgroup and of those below it, by which the kernel tells of them in sock_diag(7)."""
    return frozenset(number for _, number in tree(path))


def tree(path: Path, but: Callable[[Path], bool] = lambda _: False) -> Iterator[tuple[Path, int]]:
    """A cgroup and those below it, each with its id. but: tells which to leave, with all below.

    One without children, as its links tell, is not listed: it has many files.
    """
    if but(path):
        return
    try:
        found = os.stat(path)
    except OSError:
        return  # it has gone
    yield path, found.st_ino
    if found.st_nlink != LINKS_OF_A_LEAF:
        for name in children(path):
            yield from tree(path / name, but)


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
