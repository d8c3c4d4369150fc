"""Which files a path of a rule means now, and which folders to watch for that to change.

    trail("/opt/*/bin/app", tree).files      # {"/opt/one/bin/app"}
    trail("/opt/*/bin/app", tree).folders    # {"/": {"opt"}, "/opt": {ANY}, "/opt/one": {"bin"}, …}

Every folder on the way is watched for the one name that matters in it: so it is seen when a part of the way
appears, is replaced or becomes a symbolic link to elsewhere. `*`, `?` and `[…]` stand for parts of one name;
a name `**` for any number of folders, those behind symbolic links left out.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, Protocol

ANY: Final = ""
"""Instead of a name in a folder: every one matters."""
FILE, FOLDER = "file", "folder"
LINKS: Final = 40
"""How many symbolic links the kernel follows (path_resolution(7))."""
MOST: Final = 20_000
"""How many names are looked at for one path, a few µs each: whoever looks has execs to answer."""
_DEEP: Final = "**"


class Link(NamedTuple):
    """A symbolic link. target: as written in it."""

    target: str


class Tree(Protocol):
    """What exists."""

    def kind(self, path: str) -> str | Link | None:
        """FILE, FOLDER, a link, or None: nothing that counts."""

    def names(self, path: str) -> Iterable[str]:
        """What is in a folder; nothing, where it cannot be read."""


class Trail(NamedTuple):
    """files: by their real paths. folders: real path -> the names that matter in it.

    whole: False where there was more to look at than may be.
    """

    files: frozenset[str]
    folders: dict[str, frozenset[str]]
    whole: bool


class _Part(NamedTuple):
    name: str
    glob: bool


def trail(pattern: str, tree: Tree) -> Trail:
    """Follow a path, which begins with "/", as the kernel would; globs to everything that they match."""
    walk = _Walk(tree)
    walk.go("/", _parts(pattern, globs=True), 0)
    while walk.todo and walk.looked <= MOST:
        walk.step(*walk.todo.pop())
    folders = {folder: frozenset(names) for folder, names in walk.folders.items()}
    return Trail(frozenset(walk.files), folders, walk.looked <= MOST)


class _Walk:
    """todo: folders with the rest of the way from there, and how many links led there."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.todo: list[tuple[str, tuple[_Part, ...], int]] = []
        self.files: set[str] = set()
        self.folders: dict[str, set[str]] = {}
        self.looked = 0

    def go(self, folder: str, parts: tuple[_Part, ...], links: int) -> None:
        if parts and links <= LINKS:
            self.todo.append((folder, parts, links))

    def step(self, folder: str, parts: tuple[_Part, ...], links: int) -> None:
        part, rest = parts[0], parts[1:]
        if part.name == "..":
            self.go(folder.rpartition("/")[0] or "/", rest, links)
            return
        self.folders.setdefault(folder, set()).add(ANY if part.glob else part.name)
        if not part.glob:
            self._name(folder, part.name, rest, links)
            return
        deep = part.name == _DEEP
        if deep:
            self.go(folder, rest, links)
        for name in self._tree.names(folder):
            if self.looked > MOST:
                return
            if deep:
                self._deeper(_join(folder, name), parts, links)
            elif fnmatch.fnmatchcase(name, part.name):
                self._name(folder, name, rest, links)
            else:
                self.looked += 1

    def _deeper(self, path: str, parts: tuple[_Part, ...], links: int) -> None:
        self.looked += 1
        if self._tree.kind(path) == FOLDER:
            self.go(path, parts, links)

    def _name(self, folder: str, name: str, rest: tuple[_Part, ...], links: int) -> None:
        self.looked += 1
        path = _join(folder, name)
        kind = self._tree.kind(path)
        if isinstance(kind, Link):
            start = "/" if kind.target.startswith("/") else folder
            self.go(start, _parts(kind.target, globs=False) + rest, links + 1)
        elif kind == FOLDER:
            self.go(path, rest, links)
        elif kind == FILE and not rest:
            self.files.add(path)


def heir_of(name: str, names: Collection[str]) -> str:
    """Whose place a new file may be about to take, by its name: what package managers write first and then
    rename ("curl.dpkg-new", "curl;5f3a", ".curl.Xy12"); "" for nobody's. The longest of those in `names`."""
    for end in range(len(name) - 1, 0, -1):
        if name[:end] in names:
            return name[:end]
        if name[0] == "." and name[1:end] and name[1:end] in names:
            return name[1:end]
    return ""


def _parts(path: str, *, globs: bool) -> tuple[_Part, ...]:
    names = [name for name in path.split("/") if name not in ("", ".")]
    if globs and names[-1:] == [_DEEP]:
        names.append("*")  # all that lies below
    return tuple(_Part(name, globs and any(c in name for c in "*?[")) for name in names)


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
