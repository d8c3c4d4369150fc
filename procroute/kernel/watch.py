"""News of files (inotify(7)): written, replaced, removed, or there for the first time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from procroute.kernel import inotify
from procroute.kernel.inotify import Inotify

_IN_A_DIRECTORY: Final = inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE
_TO_A_FILE: Final = inotify.MODIFY | inotify.CLOSE_WRITE
_ANY: Final = "/"
"""Instead of a name: all in a directory."""
_LINKS: Final = 40  # path_resolution(7)


class Watch:
    """A descriptor that becomes readable when one of some files may say something else.

    folders: whatever happens to the files in them is news, too, also who may write to them and to the folder.

    Every directory and symbolic link on the way to a file is watched as well, so it need not be there yet.
    Raises OSError when the kernel gives none: EMFILE at fs.inotify.max_user_instances.
    """

    def __init__(self, files: Sequence[Path], folders: Sequence[Path] = ()) -> None:
        self._files = files
        self._folders = folders
        self._inotify = Inotify()
        # Watch -> the names that matter in that directory; the empty one is for what is watched itself.
        self._names: dict[int, set[str]] = {}
        self._follow()

    def fileno(self) -> int:
        """For poll(2)."""
        return self._inotify.fileno()

    def drain(self) -> bool:
        """Read what has come; whether any of it is about these files. Lost news are."""
        # All is read: what is left would wake us again.
        read = self._inotify.read()
        news = [bool(mask & inotify.OVERFLOW) or self._told_of(watch, name) for watch, mask, name in read]
        if any(news):
            self._follow()
        return any(news)

    def _told_of(self, watch: int, name: str) -> bool:
        names = self._names.get(watch, set())
        return name in names or _ANY in names

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()

    def _follow(self) -> None:
        """Watch what is on the way to each file now, and no longer what only was."""
        before, self._names = self._names, {}
        for file in self._files:
            with contextlib.suppress(OSError):  # the way ends here for now
                self._walk(file)
        for folder in self._folders:
            with contextlib.suppress(OSError):
                self._walk(folder)
                self._add(folder, _IN_A_DIRECTORY | _TO_A_FILE | inotify.ATTRIB, _ANY)
        for watch in before.keys() - self._names.keys():
            self._inotify.remove(watch)

    def _walk(self, file: Path) -> None:
        """Each directory is watched before the next is looked for, so that none can come unseen between."""
        place, ahead, links = Path("/"), [*reversed(file.parts[1:])], 0
        while ahead:
            name = ahead.pop()
            if name == "..":
                place = place.parent
                continue
            self._add(place, _IN_A_DIRECTORY, name)
            try:
                target = Path(os.readlink(place / name))
            except OSError:
                place /= name
                continue
            links += 1
            if links > _LINKS:
                return
            if target.is_absolute():
                place = Path("/")
            ahead += reversed(target.parts[target.is_absolute() :])
        self._add(place, _TO_A_FILE, "")

    def _add(self, path: Path, mask: int, name: str) -> None:
        # It may be on the way to several.
        self._names.setdefault(self._inotify.add(path, mask | inotify.AS_WELL), {""}).add(name)
