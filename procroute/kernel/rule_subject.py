"""A process as route rules see it, from /proc (proc(5)).

What rules do not ask for is not read: a chain of parents costs more than all the rest.
"""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Final

from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.living import living, user_of
from procroute.kernel.process_stat import stat as stat_of
from procroute.rulebook.subject import COMM, Ancestor, Subject
from procroute.user_names import user_name

_DELETED: Final = " (deleted)"
_ELF: Final = b"\x7fELF"
_ANCESTORS: Final = 64
"""So many are looked at: who is deeper is told by those."""


def subject(pid: int, asked: Collection[str], mount: CgroupMount) -> tuple[Subject, int] | None:
    """A process and its start time, clock ticks since boot; None: it has ended.

    mount: by which cgroups are named. asked: the conditions that there are (Conditions.given), of all rules.
    Its program is what it runs: of a script the interpreter, as its words say what it likes, and their paths
    may be anything.
    """
    found = living(pid)
    if found is None:
        return None
    try:
        groups = groups_of(pid) if "group" in asked else ()
        program = program_of(pid)
    except OSError:
        return None
    return (
        Subject(
            pid=pid,
            exes=(program,),
            name=found.name,
            command=tuple(found.command),
            uids=found.uids,
            user=user_name(found.uids[1]) if "user" in asked else "",
            gids=groups,
            groups=group_names(groups),
            cgroup=mount.below(found.cgroup) or "/",
            parents=tuple(ancestors(found.parent, {})) if "parent" in asked else (),
        ),
        found.began,
    )


def program_of(pid: int) -> str:
    """The path of what a process runs; empty where there is none. Raises OSError: it has ended.

    Empty, too, in another mount namespace where that path is another file here: anybody can make such a
    namespace, and mount what he likes there (user_namespaces(7)).
    """
    link = f"/proc/{pid}/exe"
    path = os.readlink(link)
    if os.readlink(f"/proc/{pid}/ns/mnt") in _mounts():
        return path.removesuffix(_DELETED)
    try:
        here = os.stat(path)
    except OSError:
        return ""
    return path if os.path.samestat(here, os.stat(link)) else ""


@cache
def _mounts() -> frozenset[str]:
    """The mount namespaces whose paths are true: ours, and that of all who have none of their own."""
    return frozenset(os.readlink(f"/proc/{who}/ns/mnt") for who in ("self", "1"))


def is_program(path: str) -> bool:
    """Whether a file is executed by itself, as ELF is, and not by an interpreter (execve(2))."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(file, len(_ELF)) == _ELF
    except OSError:
        return False
    finally:
        os.close(file)


def name_by(path: str) -> str:
    """What a process is called that has just executed a file (execve(2): the name is its base)."""
    base = os.fsencode(path.rpartition("/")[2])
    return os.fsdecode(base[:COMM])


def groups_of(pid: int, effective: int | None = None) -> tuple[int, ...]:
    """The effective gid, or another one instead, and the supplementary ones. Raises OSError: it has ended."""
    with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
        lines = file.readall().split(b"\n")
    own = next((line.split()[2] for line in lines if line.startswith(b"Gid:")), b"0")
    more = next((line.split()[1:] for line in lines if line.startswith(b"Groups:")), [])
    first = int(own) if effective is None else effective
    return tuple(dict.fromkeys((first, *map(int, more))))


def group_names(gids: Iterable[int]) -> tuple[str, ...]:
    """What groups are called; empty, each that has no name."""
    return tuple(map(_group_name, gids))


def uids_of(pid: int) -> tuple[int, int, int]:
    """The real, effective and saved uid. Raises OSError: it has ended."""
    found = user_of(pid)
    if found is None:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return found


def ancestors(parent: int, known: dict[int, tuple[Ancestor, int]]) -> Iterator[Ancestor]:
    """Those that a process descends from, by its parent's PID, the nearest first.

    known: processes that were read for others already, each with its parent; gets those that are read now.
    """
    for _ in range(_ANCESTORS):
        if parent not in known:
            if parent <= 0 or (found := _ancestor(parent)) is None:
                return
            known[parent] = found
        one, parent = known[parent]
        yield one


def _ancestor(pid: int) -> tuple[Ancestor, int] | None:
    """A process as one that others descend from, and its parent; None: there is none."""
    try:
        found = stat_of(pid)
    except OSError:
        return None
    try:
        program = program_of(pid)
    except OSError:
        program = ""  # a kernel thread
    return Ancestor(found.name, program), found.parent


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return ""
