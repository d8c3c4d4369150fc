"""Names in folders, watched as they come and go (inotify(7)).

watched = WatchedNames()
watched.want("/opt/*/run", {}, {"/opt": {ANY}, "/opt/a": {"run"}})
for news in watched.read():      # when it is readable
    news.patterns                # {"/opt/*/run"}: for whom that name matters
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from procroute.core.exec_paths import ANY
from procroute.kernel import inotify

Folders = Mapping[str, Collection[str]]
"""Folders by their real paths, each with the names that matter in it."""
_MASK: Final = (
    inotify.CREATE | inotify.DELETE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.ONLY_DIRECTORIES
)


class News(NamedTuple):
    """A name in a folder that leads to something else now, or to nothing. came: to something.

    names: all that matter in that folder, each with the patterns for which it does.
    """

    folder: str
    name: str
    came: bool
    names: Mapping[str, Collection[str]]

    @property
    def patterns(self) -> set[str]:
        """Those for which this name matters."""
        return {*self.names.get(self.name, ()), *self.names.get(ANY, ())}


class WatchedNames:
    """`fileno` becomes readable when there is news. faults: folder -> why it cannot be watched.

    Raises OSError without inotify.
    """

    def __init__(self) -> None:
        self._inotify = inotify.Inotify()
        self.faults: dict[str, str] = {}
        self._watches: dict[str, int] = {}
        self._folders: dict[int, set[str]] = {}
        self._names: dict[str, dict[str, set[str]]] = {}

    def fileno(self) -> int:
        """Of inotify, for poll(2)."""
        return self._inotify.fileno()

    def read(self) -> Iterator[News | None]:
        """What has come; None: news were lost."""
        for watch, what, name in self._inotify.read():
            if what & inotify.OVERFLOW:
                yield None
            for folder in self._folders.get(watch, ()):
                came = bool(what & (inotify.CREATE | inotify.MOVED_TO))
                yield News(folder, name, came, self._names.get(folder, {}))

    def want(self, pattern: str, old: Folders, new: Folders) -> bool:
        """Watch for a pattern what is in `new`, no longer what is in `old` alone; whether folders are watched
        now that were not."""
        for folder, names in old.items():
            for name in set(names) - set(new.get(folder, ())):
                self._uninterest(pattern, folder, name)
        added = False
        for folder, names in new.items():
            for name in names:
                self._names.setdefault(folder, {}).setdefault(name, set()).add(pattern)
            added |= self._watch(folder)
        return added

    def _uninterest(self, pattern: str, folder: str, name: str) -> None:
        names = self._names.get(folder, {})
        if name in names:
            names[name].discard(pattern)
            if not names[name]:
                del names[name]
        if not names:
            self._names.pop(folder, None)
            self._unwatch(folder)

    def _watch(self, folder: str) -> bool:
        try:
            watch = self._inotify.add(Path(folder), _MASK)
        except (FileNotFoundError, NotADirectoryError):
            return False  # it has gone: the one above tells
        except OSError as e:
            self.faults[folder] = f"it cannot be watched: {e.strerror}"
            return False
        if self._watches.get(folder) == watch:
            return False
        self._unwatch(folder)  # another folder has its name now
        self._watches[folder] = watch
        self._folders.setdefault(watch, set()).add(folder)
        return True

    def _unwatch(self, folder: str) -> None:
        self.faults.pop(folder, None)
        watch = self._watches.pop(folder, None)
        if watch is not None and watch in self._folders:
            self._folders[watch].discard(folder)
            if not self._folders[watch]:
                del self._folders[watch]
                self._inotify.remove(watch)
