"""Which assignments there are: in memory, and a small file each, so that a restart knows who asked for what.

    /run/procroute/assignments/7.json       a protocol.Assignment without its processes
    /run/procroute/assignments/last         the highest id that was given
    /run/procroute/damaged/7.json           what could not be read

The cgroups say what is there; these files say whose it is. One that is missing or damaged costs that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from procroute import places
from procroute.engine.words import Tell
from procroute.kernel import files
from procroute.protocol import Assignment, written

FOLDER: Final = Path(places.ASSIGNMENTS)
DAMAGED: Final = Path(places.DAMAGED)
_LAST: Final = "last"
_ASSIGNMENT: Final = msgspec.json.Decoder(Assignment)


class Ledger:
    """Assignments by id. Used from one thread at a time."""

    def __init__(self, tell: Tell, folder: Path = FOLDER, damaged: Path = DAMAGED) -> None:
        self._tell = tell
        self._folder = folder
        self._damaged = damaged
        self._by_id: dict[int, Assignment] = {}
        self._by_cgroup: dict[str, int] = {}
        self._last = 0
        self._last_written = 0
        self._stale: set[int] = set()
        self._loaded = False

    def __iter__(self) -> Iterator[Assignment]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, number: int) -> Assignment | None:
        """The assignment of an id."""
        return self._by_id.get(number)

    def at(self, cgroup: str) -> Assignment | None:
        """The assignment whose cgroup, from the mount point, is this one."""
        number = self._by_cgroup.get(cgroup)
        return None if number is None else self._by_id[number]

    def load(self, is_there: Callable[[Assignment], bool]) -> None:
        """Read what an earlier daemon wrote. is_there: whether it still is one; others are forgotten."""
        files.mkdir(self._folder, 0o755, parents=True, exist_ok=True)
        for name in sorted(os.listdir(self._folder)):
            if name.startswith("."):  # half written
                files.unlink(self._folder / name, missing_ok=True)
            elif name == _LAST:
                self._last = max(self._last, self._read_last(self._folder / name))
            else:
                self._load(name, is_there)
        self._loaded = True

    def _load(self, name: str, is_there: Callable[[Assignment], bool]) -> None:
        try:
            with open(f"{self._folder}/{name}", "rb", buffering=0) as file:
                found = _ASSIGNMENT.decode(file.read())
            if name != f"{found.id}.json":
                raise ValueError(f"it holds the id {found.id}")
        except (msgspec.MsgspecError, ValueError, OSError) as e:
            self._set_aside(self._folder / name, e)
            return
        self._last = max(self._last, found.id)
        if is_there(found):
            self._keep(found)
        else:
            files.unlink(self._folder / name, missing_ok=True)

    def next_id(self, *, later: bool = False) -> int:
        """An id that was never given before. later: that it is given is written with what gets it, which
        nobody hears of before. Raises OSError."""
        self._last += 1
        if not later:
            self._write_last()
        return self._last

    def add(self, assignment: Assignment) -> None:
        """Remember an assignment; one of the same id is replaced. Raises OSError."""
        if self._last_written < self._last:
            self._write_last()
        plain = msgspec.structs.replace(assignment, processes=[], sockets=None)
        files.replace(self._folder / f"{assignment.id}.json", written(plain))
        self._keep(plain)
        with contextlib.suppress(OSError):
            self.remove_stale()

    def remove(self, number: int) -> Assignment | None:
        """Forget one; None: it was not known. Raises OSError where its file stays, for now."""
        found = self._by_id.pop(number, None)
        if found is not None:
            self._by_cgroup.pop(found.cgroup, None)
            self._stale.add(number)
            self.remove_stale()
        return found

    def close(self) -> None:
        """Remove the folder where nothing is assigned any more, as far as was seen."""
        if self._loaded and not self._by_id:
            with contextlib.suppress(OSError):
                self.remove_stale()
                files.unlink(self._folder / _LAST, missing_ok=True)
                files.rmdir(self._folder)

    def remove_stale(self) -> None:
        """Remove the files of what is forgotten, where they are still there. Raises OSError."""
        for number in list(self._stale):
            files.unlink(self._folder / f"{number}.json", missing_ok=True)
            self._stale.discard(number)

    def _write_last(self) -> None:
        files.replace(self._folder / _LAST, str(self._last).encode())
        self._last_written = self._last

    def _keep(self, assignment: Assignment) -> None:
        self._by_id[assignment.id] = assignment
        self._by_cgroup[assignment.cgroup] = assignment.id

    def _read_last(self, file: Path) -> int:
        try:
            return int(file.read_bytes())
        except (OSError, ValueError) as e:
            self._set_aside(file, e)
            return 0

    def _set_aside(self, file: Path, why: Exception) -> None:
        files.mkdir(self._damaged, 0o755, exist_ok=True)
        with contextlib.suppress(OSError):
            files.rename(file, self._damaged / file.name)
        self._tell(
            f"{file} is damaged ({why}): set aside in {self._damaged}; the kernel knows what is routed"
        )
