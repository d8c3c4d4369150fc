"""What the daemon has said so far: processes, assignments, adapters, rates, and what has happened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from procroute import protocol
from procroute.protocol import AdapterFacts, Assignment, Running, Sockets
from procroute_tui.model import words
from procroute_tui.model.rates import Rate, Rates

_REMEMBERED: Final = 200
"""So many happenings are kept."""


class Happening(Struct, frozen=True):
    """Something that happened. at: seconds of the Epoch; assignment and pid: whose, 0: nobody's."""

    at: float
    text: str
    assignment: int = 0
    pid: int = 0


class Changes(Struct):
    """What a message has changed. everything: nothing of before holds; rates: those of all assignments."""

    everything: bool = False
    pids: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    rates: bool = False
    adapters: bool = False


class Machine:
    """Takes replies and events in the order in which they come; says what each has changed."""

    def __init__(self) -> None:
        self.processes: dict[int, Running] = {}
        self.assignments: dict[int, Assignment] = {}
        self.members: dict[int, set[int]] = {}
        self.adapters: list[AdapterFacts] = []
        self.sockets: dict[int, Sockets] = {}
        self.happenings: deque[Happening] = deque(maxlen=_REMEMBERED)
        self.rates = Rates()
        self._leaders: dict[int, int] = {}
        self._threads: set[int] = set()

    def take(self, message: protocol.Watching | protocol.Event) -> Changes:
        """A reply to `watch`, which begins anew, or an event."""
        if isinstance(message, protocol.Watching):
            return self._begin(message)
        if text := words.happened(message):
            self._remember(message, text)
        changes = Changes()
        if isinstance(message, protocol.Processes):
            for process in message.now:
                self._put(process)
                changes.pids.add(process.pid)
            for pid in message.gone:
                self._drop(pid)
                changes.gone.add(pid)
        elif isinstance(message, protocol.Added):
            changes.pids |= self._added(message.assignment)
            changes.adapters = True
        elif isinstance(message, protocol.Removed):
            changes.pids |= self._removed(message.assignment.id)
            changes.adapters = True
        elif isinstance(message, protocol.Switched):
            changes.pids |= self._switched(message)
            changes.adapters = True
        elif isinstance(message, protocol.Traffic):
            self.rates.take(message)
            changes.rates = changes.adapters = True
        elif isinstance(message, protocol.Left):
            changes.pids |= self._move([message.process.pid], 0)
        return changes

    def _switched(self, message: protocol.Switched) -> set[int]:
        """A route leaves by another adapter: the processes on it."""
        on_it = [a for a in self.assignments.values() if a.route == message.route]
        self.assignments |= {a.id: replace(a, adapter=message.adapter) for a in on_it}
        return {pid for a in on_it for pid in self.members.get(a.id, ())}

    def take_sockets(self, assignments: Iterable[Assignment]) -> Changes:
        """The answer to `ps` with sockets."""
        counted = {a.id: a.sockets for a in assignments if a.sockets is not None}
        different = {i for i in counted.keys() | self.sockets.keys() if counted.get(i) != self.sockets.get(i)}
        self.sockets = counted
        return Changes(pids={p for i in different for p in self.members.get(i, ())})

    def leader(self, assignment: int) -> int:
        """The oldest process of an assignment: what is counted for all of it is shown there; 0: none."""
        found = self._leaders.get(assignment, 0)
        if not found:
            processes = self.processes
            members = self.members.get(assignment, ())
            found = min(members, key=lambda pid: (processes[pid].began, pid), default=0)
            self._leaders[assignment] = found
        return found

    def assignment_of(self, pid: int) -> Assignment | None:
        """Which one a process is in."""
        process = self.processes.get(pid)
        return self.assignments.get(process.assignment) if process is not None else None

    def rate_of(self, pid: int) -> Rate | None:
        """What is carried for the assignment that this process is the first of; None: it is not."""
        process = self.processes[pid]
        if not process.assignment or self.leader(process.assignment) != pid:
            return None
        return self.rates.assignments.get(process.assignment)

    def using(self, adapter: str) -> int:
        """How many processes are on routes by an adapter."""
        return sum(len(self.members.get(a.id, ())) for a in self.assignments.values() if a.adapter == adapter)

    def routed(self) -> int:
        """How many processes are on any route."""
        return sum(map(len, self.members.values()))

    def is_thread(self, pid: int) -> bool:
        """Whether it is a thread of the kernel's own: kthreadd or a child of it."""
        return pid in self._threads

    def kernel_threads(self) -> int:
        """How many there are."""
        return len(self._threads)

    def recent(self, pid: int) -> list[Happening]:
        """What happened to a process or its assignment, the last first."""
        process = self.processes.get(pid)
        mine = process.assignment if process is not None else 0
        return [h for h in reversed(self.happenings) if h.pid == pid or (mine and h.assignment == mine)]

    def _begin(self, watching: protocol.Watching) -> Changes:
        self.processes.clear()
        self.members.clear()
        self._leaders.clear()
        self._threads.clear()
        self.assignments = {a.id: a for a in watching.assignments}
        for process in watching.processes:
            self._put(process)
        for assignment in watching.assignments:
            self._move([p.pid for p in assignment.processes], assignment.id)
        return Changes(everything=True, rates=True, adapters=True)

    def _put(self, process: Running) -> None:
        self._leave(process.pid)
        self.processes[process.pid] = process
        if process.assignment:
            self.members.setdefault(process.assignment, set()).add(process.pid)
            self._leaders.pop(process.assignment, None)
        if (process.pid == 2 and process.name == "kthreadd") or (process.parent == 2 and 2 in self._threads):
            self._threads.add(process.pid)
        else:
            self._threads.discard(process.pid)

    def _leave(self, pid: int) -> None:
        old = self.processes.get(pid)
        if old is not None and old.assignment:
            self.members.get(old.assignment, set()).discard(pid)
            self._leaders.pop(old.assignment, None)

    def _drop(self, pid: int) -> None:
        self._leave(pid)
        self.processes.pop(pid, None)
        self._threads.discard(pid)

    def _added(self, assignment: Assignment) -> set[int]:
        self.assignments[assignment.id] = assignment
        moved = self._move([p.pid for p in assignment.processes], assignment.id)
        return moved | self.members.get(assignment.id, set())

    def _removed(self, number: int) -> set[int]:
        changed = self._move(tuple(self.members.get(number, ())), 0)
        for mine in (self.assignments, self.members, self.sockets, self._leaders):
            mine.pop(number, None)
        return changed

    def _move(self, pids: Iterable[int], assignment: int) -> set[int]:
        """Say of processes in which assignment they are; those that were in another."""
        moved = set()
        for pid in pids:
            process = self.processes.get(pid)
            if process is not None and process.assignment != assignment:
                self._put(replace(process, assignment=assignment))
                moved.add(pid)
        return moved

    def _remember(self, event: protocol.Event, text: str) -> None:
        number = event.assignment.id if hasattr(event, "assignment") else 0
        pid = event.process.pid if isinstance(event, protocol.Left) else 0
        self.happenings.append(Happening(event.at, text, number, pid))
