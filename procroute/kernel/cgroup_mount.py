"""Where cgroup v2 is mounted; how its cgroups are called there and in /proc (proc(5), cgroup_namespaces(7)).

A mount may show a part of the tree only: it was bound, or the reader is in another cgroup namespace than it
was made in. /proc names a cgroup from the root of the reader's namespace all the same:

    mounted at /run/part: /sub      /run/part/procroute.slice is /sub/procroute.slice
    mounted from outside: /../..    /sys/fs/cgroup/procroute.slice is /../../procroute.slice
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from procroute.errors import ProcrouteError


class CgroupMount(Struct, frozen=True):
    """path: the mount point; root: the cgroup that is seen there, by its name in /proc."""

    path: Path
    root: str = "/"

    def in_proc(self, path: Path) -> str:
        """What /proc calls a cgroup that is here at this path."""
        return _joined(self.root, str(path.relative_to(self.path)))

    def below(self, cgroup: str) -> str | None:
        """Where a cgroup that /proc calls so is, from the mount point; None: it cannot be seen here."""
        if self.root == "/":
            return None if cgroup.startswith("/..") else cgroup
        if cgroup == self.root:
            return "/"
        return cgroup.removeprefix(self.root) if cgroup.startswith(f"{self.root}/") else None

    def of(self, pid: int | str) -> str:
        """The cgroup of a process, or of "self", from the mount point; its root if it is not seen there.

        Raises OSError where there is no such process.
        """
        return self.below(of_process(pid) or "/") or "/"


def find() -> CgroupMount:
    """The one to use: where there are several one that can be written, of the whole tree, of a short path.

    Raises ProcrouteError cgroup-missing.
    """
    found = []
    for path, (root, read_only) in _mounts().items():
        if os.path.exists(f"{path}/cgroup.controllers"):  # not so where another mount covers it
            found.append((read_only, root != "/", len(path), path, root))
    if not found:
        raise ProcrouteError(
            "cgroup-missing", "cgroup v2 is not mounted", "mount -t cgroup2 none /sys/fs/cgroup (as root)"
        )
    *_, path, root = min(found)
    return CgroupMount(Path(path), root)


def at(path: Path) -> CgroupMount:
    """What is mounted at a path that was found earlier."""
    root, _ = _mounts().get(str(path), ("/", False))
    return CgroupMount(path, root)


def of_process(pid: int | str) -> str | None:
    """What /proc calls the cgroup of a process, or of "self"; None: version 2 is not there.

    Raises OSError where there is no such process, or none that can be seen.
    """
    with open(f"/proc/{pid}/cgroup", "rb", buffering=0) as file:
        return named_in(file.readall())


def named_in(text: bytes) -> str | None:
    """The cgroup of version 2 in what /proc/PID/cgroup says; None: there is none. Its name may be any
    bytes."""
    lines = os.fsdecode(text).split("\n")
    return next((line[3:] for line in lines if line.startswith("0::")), None)


def _mounts() -> dict[str, tuple[str, bool]]:
    """The mount points of cgroup v2, each with the root of what is seen there, and whether that is read-only:
    of several the last, which covers the others. Paths may be any bytes."""
    found = {}
    for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).split("\n"):
        if " - cgroup2 " not in line:
            continue  # there may be hundreds, and this is asked with each process
        before, _, after = line.partition(" - ")
        kind, *rest = after.split(" ")
        if kind == "cgroup2":
            root, path, options = before.split(" ")[3:6]
            read_only = "ro" in options.split(",") or "ro" in rest[-1].split(",")
            found[_plain(path)] = (_plain(root), read_only)
    return found


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def _joined(root: str, path: str) -> str:
    whole = root.rstrip("/") if path == "." else f"{root.rstrip('/')}/{path}"
    return whole or "/"
