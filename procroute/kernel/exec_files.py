"""The files that paths of rules mean, marked in a hold, and followed as they appear, move and are replaced.

    files = ExecFiles(hold)
    files.follow({"/usr/bin/curl", "/opt/*/bin/app"})
    while files.work(): ...          # a small piece each: whoever calls has execs to answer in between
    files.paths_of(asked.file)       # {"/usr/bin/curl"}: those of the paths that mean this file

Between a file's replacement and its new mark lies the time that inotify and we take, about a millisecond. It
is none where the new file was written beside the old one first, under a name that begins with its name, as
package managers do: such a file is marked when it appears (an heir).

Mounts are followed, too. A file that is renamed away keeps its mark until somebody executes it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from procroute.core.exec_paths import FILE, FOLDER, Link, Trail, heir_of, trail
from procroute.kernel.exec_hold import ExecHold
from procroute.kernel.watched_names import WatchedNames

Inode = tuple[int, int]
"""Device and number: the same for hard links, and by whichever mount a file is seen."""


class _Heir(NamedTuple):
    """A file that may be about to take the place of another: where it is, and what it will be called."""

    path: str
    name: str
    patterns: frozenset[str]


class _Here:
    """The file system, for core.exec_paths."""

    def kind(self, path: str) -> str | Link | None:
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                return Link(os.readlink(path))
        except (OSError, ValueError):
            return None
        return FILE if stat.S_ISREG(mode) else FOLDER if stat.S_ISDIR(mode) else None

    def names(self, path: str) -> Iterable[str]:
        try:
            return os.listdir(path)
        except OSError:
            return ()


class ExecFiles:
    """Marks in `hold`, as those paths want them. `fileno` and `mounts` become ready when there is news.

    Raises OSError without inotify.
    """

    def __init__(self, hold: ExecHold) -> None:
        self._hold = hold
        self._names = WatchedNames()
        self.mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._faults: dict[str, str] = {}
        self._wanted: frozenset[str] = frozenset()
        self._due: dict[str, None] = {}
        self._trails: dict[str, Trail] = {}
        self._inodes: dict[Inode, set[str]] = {}
        self._marked: dict[str, dict[Inode, str]] = {}
        self._heirs: dict[Inode, _Heir] = {}
        self._never = frozenset(_loader())

    def fileno(self) -> int:
        """Of inotify, for poll(2): POLLIN. `mounts` is for POLLPRI (proc(5), mountinfo)."""
        return self._names.fileno()

    def __len__(self) -> int:
        """How many files are marked for a path."""
        return len(self._inodes)

    @property
    def faults(self) -> dict[str, str]:
        """Path -> why execs by it are not held, or not all."""
        return self._faults | self._names.faults

    def follow(self, patterns: Collection[str]) -> None:
        """Follow these paths from now on, and no others; `work` does it."""
        wanted = frozenset(patterns)
        for gone in self._wanted - wanted:
            self._due[gone] = None
        for new in wanted - self._wanted:
            self._due[new] = None
        self._wanted = wanted

    def everything(self) -> None:
        """Have all of it looked at again: mounts changed, or news were lost."""
        self._due.update(dict.fromkeys(self._wanted))

    def hear(self) -> None:
        """Take the news of folders; `work` does the rest."""
        for news in self._names.read():
            if news is None:
                self.everything()
                continue
            self._due.update(dict.fromkeys(news.patterns))
            if news.came and (old := heir_of(news.name, news.names)):
                self._expect(f"{news.folder.rstrip('/')}/{news.name}", old, news.names[old])

    def work(self) -> bool:
        """Look at one path that is due; whether there was one."""
        if not self._due:
            return False
        pattern = next(iter(self._due))
        del self._due[pattern]
        self._look(pattern)
        if not self._due and self._heirs:
            self._forget_heirs()
        return True

    def paths_of(self, file: int) -> Collection[str]:
        """Which of the paths mean an open file; if none does, it loses its mark. Raises OSError."""
        found = os.fstat(file)
        inode = (found.st_dev, found.st_ino)
        if patterns := self._inodes.get(inode):
            return patterns
        heir = self._heirs.get(inode)
        if heir is not None and os.path.basename(os.readlink(f"/proc/self/fd/{file}")) == heir.name:
            return heir.patterns
        self._heirs.pop(inode, None)  # a program by itself
        self._hold.unmark(file)
        return ()

    # --- one path

    def _look(self, pattern: str) -> None:
        wanted = pattern in self._wanted
        before = self._trails.pop(pattern, None)
        now = trail(pattern, _Here()) if wanted else None
        if self._names.want(pattern, before.folders if before else {}, now.folders if now else {}):
            self._due[pattern] = None  # it may have changed before it was watched
        self._faults.pop(pattern, None)
        if now is not None:
            self._trails[pattern] = now
            if not now.whole:
                self._faults[pattern] = "it means too many files and folders: not all of them are followed"
        self._mark(pattern, now.files if now else ())

    # --- files

    def _mark(self, pattern: str, files: Iterable[str]) -> None:
        before = self._marked.pop(pattern, {})
        now: dict[Inode, str] = {}
        for path in files:
            with _opened(path) as (file, inode):
                if inode is None:
                    continue
                if inode in self._never:
                    self._faults[pattern] = f"{path} loads every program: execs of it are not held"
                elif self._put(pattern, file, inode):
                    now[inode] = path
        for inode in before.keys() - now.keys():
            self._inodes[inode].discard(pattern)
            if not self._inodes[inode]:
                del self._inodes[inode]
                self._unmark(before[inode], inode)
        if now:
            self._marked[pattern] = now

    def _put(self, pattern: str, file: int, inode: Inode) -> bool:
        # Also where we think that it is marked: a number comes back after its file has gone.
        try:
            self._hold.mark(file)
        except FileNotFoundError:
            return False
        except OSError as e:
            self._faults[pattern] = f"execs of it cannot be held: {e.strerror}"
            return False
        self._inodes.setdefault(inode, set()).add(pattern)
        return True

    def _unmark(self, path: str, inode: Inode) -> None:
        with _opened(path) as (file, found), contextlib.suppress(OSError):
            if found == inode:
                self._hold.unmark(file)

    def _expect(self, path: str, name: str, patterns: Collection[str]) -> None:
        with _opened(path) as (file, inode), contextlib.suppress(OSError):
            if inode is not None and inode not in self._inodes:
                self._hold.mark(file)
                self._heirs[inode] = _Heir(path, name, frozenset(patterns))

    def _forget_heirs(self) -> None:
        for inode, heir in list(self._heirs.items()):
            with _opened(heir.path) as (_, found):
                if found != inode:
                    del self._heirs[inode]


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[int, Inode | None]]:
    """A descriptor of a regular file, and which it is; None: there is none by that name."""
    try:
        file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        yield -1, None
        return
    try:
        found = os.fstat(file)
        yield file, (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
    finally:
        os.close(file)


def _loader() -> Iterator[Inode]:
    """The dynamic loader of this process: whatever is executed opens it as if to execute it (execve(2))."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        paths = {words[5].rstrip("\n") for line in maps if len(words := line.split(None, 5)) == 6}
    for path in paths:
        if os.path.basename(path).startswith(("ld-", "ld.so", "ld64")):
            with contextlib.suppress(OSError):
                found = os.stat(path)
                yield found.st_dev, found.st_ino
