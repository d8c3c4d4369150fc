"""A process as rules see it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

COMM: Final = 15
"""Bytes that the kernel keeps of a process's name (proc_pid_comm(5))."""


class Ancestor(Struct, frozen=True):
    """A process that another one descends from."""

    name: str
    exe: str = ""


class Subject(Struct, frozen=True, kw_only=True):
    """A process as rules see it; whoever asks the kernel fills it. Text is as os.fsdecode gives it.

    exes: the paths by which its program is known: that of /proc/PID/exe without ` (deleted)`, and the script
    that is interpreted. name: /proc/PID/comm, at most 15 bytes. command: its words. uids: real, effective,
    saved. user: the name of the effective one, empty where it has none. gids: the effective one and the
    supplementary ones; groups: their names. cgroup: the path from the root of cgroup2, *before it was placed*
    by us. parents: those that it descends from, the nearest first.
    """

    pid: int = 0
    exes: tuple[str, ...] = ()
    name: str = ""
    command: tuple[str, ...] = ()
    uids: tuple[int, int, int] = (0, 0, 0)
    user: str = ""
    gids: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
    cgroup: str = "/"
    parents: tuple[Ancestor, ...] = ()
