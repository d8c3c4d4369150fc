"""Those who live in a machine of the soak: speakers, some of them routed, and their children."""

from __future__ import annotations

import json
import select
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import Heard, Inhabitant
from tests.soak.phases import Phase

SPEAKER = ("-S", "-m", "tests.soak.speaker")


@dataclass(eq=False)
class Route:
    """What somebody was put on: the words of the command line after --via, and what they mean.

    others: the adapters by which it leaves while the first is no way out; name: of the configuration's route.
    """

    adapter: str
    strict: bool = False
    dns: str = ""
    others: tuple[str, ...] = ()
    name: str = ""

    @property
    def via(self) -> str:
        """As it is asked for."""
        return self.name or self.adapter

    @property
    def adapters(self) -> frozenset[str]:
        """By which it may leave."""
        return frozenset({self.adapter, *self.others})

    @property
    def options(self) -> list[str]:
        """As `run` and `assign` take them."""
        return [
            "--via",
            self.via,
            *(["--strict"] if self.strict else []),
            *(self.dns and ["--dns", self.dns]),
        ]


@dataclass(eq=False)
class Assignment:
    """A route and who is on it together: what `release` lets go at once."""

    route: Route
    members: list[Person] = field(default_factory=list)


@dataclass(eq=False)
class Person:
    """A speaker (speaker.py). parent: whose child it is; process: of those who have none.

    kept: the phase of sockets that it keeps open; guarded: whether those were made on the route where it is.
    """

    name: str
    owner: int
    process: Inhabitant | None = None
    parent: Person | None = None
    pid: int = 0
    phase: Phase | None = None
    kept: Phase | None = None
    guarded: bool = True
    assignment: Assignment | None = None
    children: list[Person] = field(default_factory=list)

    @property
    def route(self) -> Route | None:
        """Where it is now."""
        return self.assignment.route if self.assignment else None

    def tree(self) -> list[Person]:
        """It and all that descend from it."""
        return [self, *(one for child in self.children for one in child.tree())]

    def join(self, assignment: Assignment | None) -> None:
        """It is in this one now, and in no other."""
        if self.assignment is not None:
            self.assignment.members.remove(self)
        self.assignment = assignment
        if assignment is not None:
            assignment.members.append(self)

    def ask(self, how: str, **request: Any) -> Heard:
        """One request and its answer; see probe.py and speaker.py."""
        said = self._asked({"how": how, **request})
        return Heard(**{name: value for name, value in said.items() if name in Heard.__slots__})

    def speak(self, phase: Phase, kept: Phase, servers: list[str]) -> None:
        """Speak as these phases say from now on."""
        self.phase, self.kept = phase, kept
        to, to_kept = list(phase.to.values()), list(kept.to.values())
        self.ask("speak", to=to, kept=to_kept, name=phase.name, servers=servers)

    def widen(self, adapters: Iterable[str]) -> None:
        """Its way is about to change: what it sends meanwhile may leave by these, too."""
        for phase in (self.phase, self.kept):
            if phase is not None:
                phase.widen(adapters)

    def end(self) -> None:
        """Its children end with it."""
        for one in self.tree():
            one.join(None)
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent._asked({"how": "of", "name": self.name, "request": {"how": "end"}})
        else:
            assert self.process
            status = self.process.end()
            assert status == 0, f"{self.name} ended with {status}: {self.process.told()}"

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.parent is not None:
            return self.parent._asked({"how": "of", "name": self.name, "request": request})
        living = self.process
        assert living
        assert living.process.stdin
        assert living.process.stdout
        try:
            living.process.stdin.write(json.dumps(request) + "\n")
            living.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"{self.name} has ended: {living.told()}") from None
        ready, _, _ = select.select([living.process.stdout], [], [], 30 * FACTOR)
        line = living.process.stdout.readline() if ready else ""
        assert line, f"{self.name} does not answer {request}: {living.told()}"
        return dict(json.loads(line))
