"""News of cgroups that have become empty, of many at once and without looking again and again.

A cgroup's events file tells of its last process by a modification (cgroup-v2.rst, cgroup.events; inotify(7)),
but up to 10 ms later, and never when the cgroup is removed within that time (kernel/cgroup/cgroup.c,
cgroup_rm_file): so the directories above are watched for removals, too.
"""

from __future__ import annotations

import os
from pathlib import Path

from procroute.kernel import cgroups
from procroute.kernel.inotify import DELETE, MODIFY, ONLY_DIRECTORIES, OVERFLOW, Inotify


class Emptied:
    """A descriptor that becomes readable when one of the cgroups may have become empty, or is gone.

    Raises OSError when the kernel gives none: EMFILE at fs.inotify.max_user_instances.
    """

    def __init__(self) -> None:
        self._inotify = Inotify()
        # Key -> the watch on the cgroup's events file, that on the directory above, its path and inode.
        self._watched: dict[int, tuple[int, int, Path, int]] = {}
        # Watch on an events file -> key; watch on a directory -> by name the keys of what is watched in it.
        self._keys: dict[int, int] = {}
        self._within: dict[int, dict[str, int]] = {}
        self._already: set[int] = set()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._inotify.fileno()

    def close(self) -> None:
        """Watch no longer."""
        self._inotify.close()

    def add(self, path: Path, key: int) -> bool:
        """Watch a cgroup; whether a process is in it now. Where there is none the next `read` tells it, too.

        A key stands for one cgroup, which may be another one than before, also by the same path. Raises
        OSError ENOSPC at fs.inotify.max_user_watches.
        """
        self._already.add(key)
        directory = 0
        try:
            directory = self._inotify.add(path.parent, DELETE | ONLY_DIRECTORIES)
            watch = self._inotify.add(path / "cgroup.events", MODIFY)
            inode = os.stat(path).st_ino
        except FileNotFoundError:
            if directory not in self._within:
                self._inotify.remove(directory)
            self.remove(key)
            self._already.add(key)
            return False
        now = (watch, directory, path, inode)
        if self._watched.get(key, now) != now:
            self.remove(key)
            return self.add(path, key)
        self._watched[key] = now
        self._keys[watch] = key
        self._within.setdefault(directory, {})[path.name] = key
        # After the watch: what happens between the two is seen by one of them.
        if cgroups.populated(path):
            self._already.discard(key)
            return True
        return False

    def remove(self, key: int) -> None:
        """Watch it no longer; one that is not watched is fine."""
        self._already.discard(key)
        watch, directory, path, _ = self._watched.pop(key, (0, 0, None, 0))
        if path is None:
            return
        del self._keys[watch]
        self._inotify.remove(watch)
        del self._within[directory][path.name]
        if not self._within[directory]:
            del self._within[directory]
            self._inotify.remove(directory)

    def read(self) -> list[int]:
        """The keys of those that have no process now, or are gone. Where news were lost all are looked at."""
        told, self._already = dict.fromkeys(self._already), set()
        for watch, mask, name in self._inotify.read():
            if mask & OVERFLOW:
                told.update(dict.fromkeys(self._watched))
            elif (key := self._keys.get(watch, self._within.get(watch, {}).get(name))) is not None:
                told[key] = None
        return [key for key in told if key not in self._watched or self._is_empty(key)]

    def _is_empty(self, key: int) -> bool:
        """Also where another one has been made by that path."""
        _, _, path, inode = self._watched[key]
        try:
            return os.stat(path).st_ino != inode or not cgroups.populated(path)
        except FileNotFoundError:
            return True
