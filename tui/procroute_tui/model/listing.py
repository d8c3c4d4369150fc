"""Which rows are shown, and in which order: a list, the tree of processes, or by unit; filtered and sorted.

Facts of a process (its place among its siblings, the text that a filter looks at) are kept until it changes.
The order is made from them when it is asked for, which for 5,000 processes takes a few milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from procroute.protocol import Running
from procroute_tui.model import seeking
from procroute_tui.model.columns import BY_KEY, Facts, Users
from procroute_tui.model.machine import Changes, Machine

View = Literal["list", "tree", "unit"]
VIEWS: Final[tuple[View, ...]] = ("list", "tree", "unit")
Key = int | str
"""A process by its PID, or a unit by its name."""
Place = tuple[bool, str | float, str, int]
"""By what siblings are sorted: whether there is nothing to sort by, the value, the name, the PID."""
_BLANK: Final = ((True,),)
"""Before the first of those that have nothing to be sorted by."""
NO_UNIT: Final = "no unit"
_ROOT: Final = ""


class Shape(Struct, frozen=True):
    """How rows are chosen and sorted."""

    view: View = "list"
    sort: str = "route"
    descending: bool = False
    filter: str = ""
    routed: bool = False
    threads: bool = False


class _Entry(Struct):
    place: Place
    parent: Key
    shown: bool
    text: seeking.Text


class Listing:
    """The rows of a machine. Tell it what has changed, then ask for `rows`."""

    def __init__(self, machine: Machine, users: Users) -> None:
        self.machine = machine
        self.facts = Facts(machine, users)
        self.shape = Shape()
        self.folded: set[Key] = set()
        self._entries: dict[int, _Entry] = {}
        self._siblings: dict[Key, list[tuple[Place, int]]] = {}
        self._rows: list[Key] | None = None
        self._sought = seeking.Sought()
        self._matching: set[int] = set()
        self._visible: set[int] = set()
        self._last: dict[Key, int] = {}

    @property
    def rows(self) -> list[Key]:
        """The keys of what is shown, from the top."""
        if self._rows is None:
            self._rows = self._arrange()
        return self._rows

    def matches(self, key: Key) -> bool:
        """Whether it is there for its own sake, and not only since something below it is."""
        return key in self._matching

    def reshape(self, shape: Shape) -> None:
        """Choose and sort otherwise."""
        old, self.shape = self.shape, shape
        self._sought = seeking.sought(shape.filter)
        if old.sort != shape.sort or not self._entries:
            self._anew()
        elif old.view != shape.view:
            self._regroup()
        elif old != shape:
            same = old == replace(shape, filter=old.filter)
            self._choose(narrower=same and seeking.narrower(shape.filter, old.filter))

    def fold(self, key: Key, *, folded: bool) -> None:
        """Hide what is below a row, or show it again."""
        if folded:
            self.folded.add(key)
        else:
            self.folded.discard(key)
        self._rows = None

    def take(self, changes: Changes) -> bool:
        """What of the machine has changed. Whether other rows, or others' places, may come of it."""
        if changes.everything:
            self._anew()
            return True
        for pid in changes.gone:
            self._remove(pid)
        different = bool(changes.gone)
        pids: Iterable[int] = changes.pids
        if changes.rates and BY_KEY[self.shape.sort].numeric:
            pids = {*changes.pids, *filter(None, map(self.machine.leader, self.machine.assignments))}
        for pid in pids:
            different |= self._put(pid)
        if different:
            self._rows = None
        return different

    def below(self, key: Key) -> list[int]:
        """The processes right below a row, in order."""
        return [pid for _, pid in self._siblings.get(key, ())]

    # --- one process

    def _anew(self) -> None:
        self._entries.clear()
        self._siblings.clear()
        for pid, process in self.machine.processes.items():
            self._entries[pid] = self._entry(process)
        self._group()

    def _choose(self, *, narrower: bool) -> None:
        """Which are shown. narrower: none that was not."""
        entries = self._entries
        for pid in self._matching if narrower else entries:
            entry = entries[pid]
            entry.shown = self._is_shown(pid, entry)
        if narrower:
            self._matching = {pid for pid in self._matching if entries[pid].shown}
        else:
            self._matching = {pid for pid, entry in entries.items() if entry.shown}
        self._rows = None

    def _regroup(self) -> None:
        """Among other siblings; by what each is sorted stays."""
        self._siblings.clear()
        for pid, entry in self._entries.items():
            entry.parent = self._parent(self.machine.processes[pid])
            entry.shown = self._is_shown(pid, entry)
        self._group()

    def _group(self) -> None:
        for pid, entry in self._entries.items():
            self._siblings.setdefault(entry.parent, []).append((entry.place, pid))
        for siblings in self._siblings.values():
            siblings.sort()
        self._matching = {pid for pid, entry in self._entries.items() if entry.shown}
        self._rows = None

    def _entry(self, process: Running) -> _Entry:
        column = BY_KEY[self.shape.sort]
        value = column.value(self.facts, process)
        blank = value is None
        value = (0.0 if column.numeric else "") if value is None else value
        place = (blank, value, process.name.casefold(), process.pid)
        entry = _Entry(place, self._parent(process), shown=False, text=seeking.Text())
        entry.shown = self._is_shown(process.pid, entry)
        return entry

    def _parent(self, process: Running) -> Key:
        if self.shape.view == "list":
            return _ROOT
        return process.parent if self.shape.view == "tree" else process.unit or NO_UNIT

    def _is_shown(self, pid: int, entry: _Entry) -> bool:
        shape = self.shape
        if shape.routed and not self.machine.processes[pid].assignment:
            return False
        if self.machine.is_thread(pid) and not shape.threads:
            return False
        return seeking.found(self._sought, entry.text, self.facts, self.machine.processes[pid])

    def _put(self, pid: int) -> bool:
        process = self.machine.processes.get(pid)
        if process is None:
            return self._remove(pid)
        new, old = self._entry(process), self._entries.get(pid)
        if old is not None and (old.place, old.parent, old.shown) == (new.place, new.parent, new.shown):
            self._entries[pid] = new
            return False
        self._remove(pid)
        self._entries[pid] = new
        if new.shown:
            self._matching.add(pid)
        insort(self._siblings.setdefault(new.parent, []), (new.place, pid))
        return True

    def _remove(self, pid: int) -> bool:
        entry = self._entries.pop(pid, None)
        if entry is None:
            return False
        self._matching.discard(pid)
        siblings = self._siblings[entry.parent]
        del siblings[bisect_left(siblings, (entry.place, pid))]
        if not siblings:
            del self._siblings[entry.parent]
        return True

    # --- the order

    def guide(self, key: Key) -> str:
        """The lines before a row's name, which lead to the row above it."""
        entry = self._entries.get(key) if isinstance(key, int) else None
        if entry is None or self.shape.view == "list":
            return ""
        parent: Key = entry.parent
        drawn = ""
        while isinstance(parent, str) or parent in self._entries:
            last = self._is_last(parent, key)
            drawn = (("   " if last else "│  ") if drawn else ("└─ " if last else "├─ ")) + drawn
            if isinstance(parent, str):
                break
            key, parent = parent, self._entries[parent].parent
        return drawn

    def _is_last(self, parent: Key, pid: Key) -> bool:
        """Whether a process is the last of those below its parent that are to be seen."""
        if parent not in self._last:
            siblings = self._directed(self._siblings.get(parent, ()))
            self._last[parent] = next((p for _, p in reversed(siblings) if p in self._visible), 0)
        return self._last[parent] == pid

    def _arrange(self) -> list[Key]:
        self._last = {}
        self._visible = self._matching
        if self.shape.view == "list":
            return [pid for _, pid in self._directed(self._siblings.get(_ROOT, ())) if pid in self._matching]
        return list(self._by_unit()) if self.shape.view == "unit" else self._as_tree()

    def _directed(self, siblings: Sequence[tuple[Place, int]]) -> Sequence[tuple[Place, int]]:
        """As they are to be read: backwards where the largest comes first, but blanks last in any case."""
        if not self.shape.descending:
            return siblings
        blanks = bisect_left(siblings, _BLANK)
        return [*siblings[:blanks][::-1], *siblings[blanks:][::-1]]

    def _by_unit(self) -> Iterator[Key]:
        units = [unit for unit in self._siblings if isinstance(unit, str)]
        for unit in sorted(units, key=lambda unit: (unit == NO_UNIT, unit.casefold())):
            shown = [pid for _, pid in self._directed(self._siblings[unit]) if pid in self._matching]
            if shown:
                yield unit
                yield from () if unit in self.folded else shown

    def _as_tree(self) -> list[Key]:
        siblings, processes = self._siblings, self.machine.processes
        self._visible = visible = self._with_ancestors()
        tops = [one for parent, ones in siblings.items() if parent not in processes for one in ones]
        tops.sort()
        order: list[Key] = []
        stack = [pid for _, pid in reversed(self._directed(tops))]
        while stack:
            pid = stack.pop()
            if pid not in visible:
                continue
            order.append(pid)
            if pid in siblings and pid not in self.folded:
                stack += [child for _, child in reversed(self._directed(siblings[pid]))]
        return order

    def _with_ancestors(self) -> set[int]:
        """What is shown, and what it descends from."""
        entries = self._entries
        if len(self._matching) == len(entries):
            return self._matching
        visible = set(self._matching)
        for pid in self._matching:
            parent = entries[pid].parent
            while isinstance(parent, int) and parent in entries and parent not in visible:
                visible.add(parent)
                parent = entries[parent].parent
        return visible
