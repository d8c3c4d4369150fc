"""What the daemon tells without being asked again, after `watch`."""

from __future__ import annotations

from msgspec import Struct

from procroute.protocol.adapter_facts import HealthFacts
from procroute.protocol.values import Assignment, Carried, Ending, Process, Running, Why


class _Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """at: seconds of the Epoch."""

    at: float


class Added(_Event, frozen=True, tag="added"):
    """There is a new assignment."""

    assignment: Assignment


class Removed(_Event, frozen=True, tag="removed"):
    """An assignment is no more. why: released, or ended with its last process.

    ending: of a run that was asked to tell it.
    """

    assignment: Assignment
    why: Why
    ending: Ending | None = None


class Left(_Event, frozen=True, tag="left"):
    """A process of an assignment is in a cgroup that is no route's; a bystander's from then on.

    Somebody else than the daemon moved it, or it moved itself. process: the first of those that did;
    followers: how many below it left with it. cgroup: as /proc calls it. ended: they were, as the route is
    strict.
    """

    assignment: Assignment
    process: Process
    cgroup: str
    followers: int = 0
    ended: bool = False


class Repaired(_Event, frozen=True, tag="repaired"):
    """Somebody had changed what is ours, and it is as it should be again. ms: from the news to that."""

    what: list[str]
    who: str = ""
    ms: float = 0


class Processes(_Event, frozen=True, tag="processes"):
    """To who asked for them. now: new ones, and others as they are now; gone: PIDs that have ended.

    What happens within a moment comes in one event.
    """

    now: list[Running] = []
    gone: list[int] = []


class AdaptersChanged(_Event, frozen=True, tag="adapters_changed"):
    """To who asked for processes or traffic: adapters or their ways out are other than before."""


class RulesChanged(_Event, frozen=True, tag="rules_changed"):
    """To who asked for processes or traffic: rules, or what of them does not hold, are other than before."""


class HealthChanged(_Event, frozen=True, tag="health"):
    """The health checks of an adapter have come to another result."""

    adapter: str
    health: HealthFacts


class Traffic(_Event, frozen=True, tag="traffic"):
    """What was carried since each began to be, to who asked for it."""

    adapters: list[Carried] = []
    routes: list[Carried] = []
    assignments: list[Carried] = []


class Switched(_Event, frozen=True, tag="switched"):
    """A route leaves by another adapter than before. adapter: empty: the machine's own way. why: in words."""

    route: str
    adapter: str = ""
    why: str = ""


class Lost(_Event, frozen=True, tag="lost"):
    """You read too slowly: events were dropped, and no more come. Ask anew."""


Event = (
    Added
    | Removed
    | Left
    | Processes
    | AdaptersChanged
    | HealthChanged
    | RulesChanged
    | Traffic
    | Repaired
    | Switched
    | Lost
)
