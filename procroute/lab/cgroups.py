"""The lab's own cgroup: made below the caller's, killed and removed at the end, or swept by a later lab.

    procroute-lab-<pid namespace>-<keeper's pid>-<its start time>/machine    what the machine sees as the root
                                                                 /outside    routers and hosts

The name tells who made it, so that a later lab can be sure that the maker is dead.
Sources: cgroups(7), Documentation/admin-guide/cgroup-v2.rst (cgroup.kill, cgroup.events), proc(5) (stat).
"""

from __future__ import annotations

import os
import re
import select
import time
from pathlib import Path
from typing import Final

from procroute.lab import namespaces
from procroute.lab.patience import FACTOR

MOUNT: Final = Path("/sys/fs/cgroup")
_NAME: Final = re.compile(r"procroute-lab-(\d+)-(\d+)-(\d+)")


def mount_private() -> None:
    """Mount cgroup2 on /sys/fs/cgroup in the caller's own mount namespace, whatever the host has there."""
    namespaces.mount("lab", str(MOUNT), "tmpfs")  # the same file system right upon itself would be EBUSY
    namespaces.mount("cgroup2", str(MOUNT), "cgroup2")


def own_path() -> str:
    """The caller's cgroup, as a path below the mount above."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return path.lstrip("/")
    raise FileNotFoundError("this kernel has no cgroup v2")


def make(parent: Path) -> Path:
    """A new lab cgroup with its two children; leftovers of dead labs beside it are swept first."""
    sweep(parent)
    pid_namespace = os.stat("/proc/self/ns/pid").st_ino
    top = parent / f"procroute-lab-{pid_namespace}-{os.getpid()}-{_start_time(os.getpid())}"
    top.mkdir()
    (top / "machine").mkdir()
    (top / "outside").mkdir()
    return top


def join(cgroup: Path) -> None:
    """Move the calling process into `cgroup`."""
    (cgroup / "cgroup.procs").write_text("0")


def remove(top: Path, seconds: float = 10) -> None:
    """Kill all that lives below `top`, wait until it is gone, remove the directories.

    Raises OSError if something stays.
    """
    deadline = time.monotonic() + seconds * FACTOR
    while True:
        _kill(top, deadline)
        try:
            return _remove_tree(top)
        except OSError:  # EBUSY: a command that was being started has come in since
            if time.monotonic() >= deadline:
                raise


def _kill(top: Path, deadline: float) -> None:
    with open(top / "cgroup.events") as events:
        (top / "cgroup.kill").write_text("1")
        poll = select.poll()
        poll.register(events, select.POLLPRI)  # the kernel signals each change of the file
        while "populated 1" in _reread(events.fileno()) and time.monotonic() < deadline:
            poll.poll(50)


def sweep(parent: Path) -> list[str]:
    """Remove empty cgroups of labs whose keeper is surely dead; the names of those removed."""
    swept = []
    pid_namespace = os.stat("/proc/self/ns/pid").st_ino
    for entry in sorted(os.listdir(parent)):
        found = _NAME.fullmatch(entry)
        if found is None or int(found[1]) != pid_namespace or _start_time(int(found[2])) == int(found[3]):
            continue
        try:
            if "populated 0" in (parent / entry / "cgroup.events").read_text():
                _remove_tree(parent / entry)
                swept.append(entry)
        except OSError:  # another lab sweeps at the same time
            continue
    return swept


def _remove_tree(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        os.rmdir(directory)


def _reread(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode()


def _start_time(pid: int) -> int:
    """Clock ticks after boot when `pid` started; 0 if there is no such process, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])
