"""From what is there to what should be: steps, adds before deletes. An empty plan means all is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from procroute.core.door import Door
from procroute.core.machine import Ours, Restore
from procroute.model import Entry, LiveRoute, Rule


@dataclass(frozen=True, slots=True)
class AddEntry:
    """Put an entry into one of our tables."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class DeleteEntry:
    """Take an entry out of one of our tables."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class AddRule:
    """Add an ip rule."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Delete an ip rule."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class AddTarget:
    """Make a route's cgroup and write the route on it."""

    live: LiveRoute


@dataclass(frozen=True, slots=True)
class UpdateTarget:
    """Write on a route's cgroup what is now known of it."""

    live: LiveRoute


@dataclass(frozen=True, slots=True)
class RemoveTarget:
    """Remove a route's cgroup, which has no process left."""

    live: LiveRoute


@dataclass(frozen=True, slots=True)
class SetDoor:
    """Tell a route's guard and DNS programs what holds now; attach them where they are not."""

    number: int
    door: Door


@dataclass(frozen=True, slots=True)
class SetRestore:
    """Replace our nft table, or remove it."""

    restore: Restore | None


@dataclass(frozen=True, slots=True)
class SetValidMark:
    """Set src_valid_mark of an adapter, or put the old value back."""

    adapter: str
    on: bool


@dataclass(frozen=True, slots=True)
class NameTables:
    """Give tables names for ip(8); none removes them."""

    names: Mapping[int, str] = field(default_factory=dict)


Step = (
    AddEntry
    | DeleteEntry
    | AddRule
    | DeleteRule
    | AddTarget
    | UpdateTarget
    | RemoveTarget
    | SetDoor
    | SetRestore
    | SetValidMark
    | NameTables
)


def plan(desired: Ours, observed: Ours) -> list[Step]:
    """The steps from `observed` to `desired`, in an order that never opens a gap.

    Entries stand before the rules that lead to them. Ours that is unreachable is added first and deleted last.
    """
    steps: list[Step] = []
    here, wanted = ({t.number: t for t in o.targets} for o in (observed, desired))
    gone = [t for n, t in sorted(here.items()) if n not in wanted]
    for number, live in sorted(wanted.items()):
        if number not in here:
            steps.append(AddTarget(live))
        elif here[number].route != live.route:
            steps += (RemoveTarget(here[number]), AddTarget(live))
        elif here[number] != live:
            steps.append(UpdateTarget(live))
    if dict(desired.table_names) != dict(observed.table_names):
        steps.append(NameTables(desired.table_names))
    steps += (SetValidMark(a, True) for a in sorted(desired.valid_mark - observed.valid_mark))
    if desired.restore is not None and desired.restore != observed.restore:
        steps.append(SetRestore(desired.restore))
    for number, door in sorted(desired.doors.items()):
        if observed.doors.get(number) != door:
            steps.append(SetDoor(number, door))
    steps += (AddEntry(e) for e in _in_order(desired.entries - observed.entries))
    steps += (AddRule(r) for r in _from_the_end(desired.rules - observed.rules))
    steps += (DeleteRule(r) for r in reversed(_from_the_end(observed.rules - desired.rules)))
    steps += (DeleteEntry(e) for e in reversed(_in_order(observed.entries - desired.entries)))
    if desired.restore is None and observed.restore is not None:
        steps.append(SetRestore(None))
    steps += (RemoveTarget(t) for t in gone)
    steps += (SetValidMark(a, False) for a in sorted(observed.valid_mark - desired.valid_mark))
    return steps


def _in_order(entries: frozenset[Entry]) -> list[Entry]:
    """Subnets before what needs them as a next hop."""
    return sorted(entries, key=lambda e: (e.table, any(h.gateway for h in e.hops), repr(e)))


def _from_the_end(rules: frozenset[Rule]) -> list[Rule]:
    """Last preference first: unreachable, then leaves, then the gotos that lead there."""
    return sorted(rules, key=lambda r: (-r.preference, r.action, repr(r)))
