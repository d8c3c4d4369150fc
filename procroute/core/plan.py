"""From what is there to what should be: steps, adds before deletes. An empty plan means all is well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from procroute.core.door import Door
from procroute.core.machine import Ours
from procroute.core.owners import Owned
from procroute.core.ruleset import Ruleset
from procroute.model import Entry, Family, IPAddress, IPNetwork, LiveRoute, Rule

_Way = tuple[int, IPNetwork, int, int, IPAddress | None]


class AddEntry(Struct, frozen=True):
    """Put an entry into one of our tables."""

    entry: Entry


class DeleteEntry(Struct, frozen=True):
    """Take an entry out of one of our tables."""

    entry: Entry


class AddRule(Struct, frozen=True):
    """Add an ip rule."""

    rule: Rule


class DeleteRule(Struct, frozen=True):
    """Delete an ip rule."""

    rule: Rule


class AddTarget(Struct, frozen=True):
    """Make a route's cgroup and write the route on it."""

    live: LiveRoute


class UpdateTarget(Struct, frozen=True):
    """Write on a route's cgroup what is now known of it."""

    live: LiveRoute


class RemoveTarget(Struct, frozen=True):
    """Remove a route's cgroup, which has no process left."""

    live: LiveRoute


class SetDoor(Struct, frozen=True):
    """Tell a route's guard and DNS programs what holds now; attach them where they are not."""

    number: int
    door: Door


class SetOwners(Struct, frozen=True):
    """Have the sockets of these users, and of no others, marked by whose they are."""

    owners: frozenset[Owned]


class SetRuleset(Struct, frozen=True):
    """Replace our nft table, or remove it."""

    ruleset: Ruleset | None


class SetValidMark(Struct, frozen=True):
    """Set src_valid_mark of an adapter, or put the old value back."""

    adapter: str
    on: bool


class NameTables(Struct, frozen=True):
    """Give tables names for ip(8); none removes them."""

    names: Mapping[int, str] = {}


Step = (
    AddEntry
    | DeleteEntry
    | AddRule
    | DeleteRule
    | AddTarget
    | UpdateTarget
    | RemoveTarget
    | SetDoor
    | SetOwners
    | SetRuleset
    | SetValidMark
    | NameTables
)


def plan(desired: Ours, observed: Ours) -> list[Step]:
    """The steps from `observed` to `desired`, in an order that never opens a gap.

    Entries stand before the rules that lead to them; unreachable is added first and deleted last. Sockets are
    marked by whose they are when there is a way for the mark, and no more before that goes.
    """
    there, wanted = ({t.number: t for t in o.targets} for o in (observed, desired))
    new_entries, old_entries = _entries(desired.entries, observed.entries)
    new_rules, old_rules = _rules(desired.rules, observed.rules)
    changed_names = dict(desired.table_names) != dict(observed.table_names)
    other_table = desired.fingerprint != observed.fingerprint
    doors = (
        SetDoor(number, door)
        for number, door in sorted(desired.doors.items())
        if observed.doors.get(number) != door or there[number].route != wanted[number].route
    )
    return [
        *_targets(wanted, there),
        *([NameTables(desired.table_names)] if changed_names else ()),
        *(SetValidMark(a, True) for a in sorted(desired.valid_mark - observed.valid_mark)),
        *([SetRuleset(desired.ruleset)] if other_table and desired.ruleset is not None else ()),
        *doors,
        *new_entries,
        *new_rules,
        *([SetOwners(desired.owners or frozenset())] if desired.owners != observed.owners else ()),
        *old_rules,
        *old_entries,
        *([SetRuleset(None)] if other_table and desired.ruleset is None else ()),
        *(RemoveTarget(live) for number, live in sorted(there.items()) if number not in wanted),
        *(SetValidMark(a, False) for a in sorted(observed.valid_mark - desired.valid_mark)),
    ]


def _targets(wanted: Mapping[int, LiveRoute], there: Mapping[int, LiveRoute]) -> Iterable[Step]:
    for number, live in sorted(wanted.items()):
        if number not in there:
            yield AddTarget(live)
        elif there[number].route != live.route:
            yield from (RemoveTarget(there[number]), AddTarget(live))
        elif there[number] != live:
            yield UpdateTarget(live)


def _entries(desired: frozenset[Entry], observed: frozenset[Entry]) -> tuple[list[Step], list[Step]]:
    """What to do before the rules change, and what after."""
    old = observed - desired
    by_way = {way: e for e in _in_order(old) for way in _ways(e)}
    first: list[Step] = []
    for entry in _in_order(desired - observed):
        found = dict.fromkeys(by_way[w] for w in _ways(entry) if w in by_way)
        in_the_way = [e for e in found if e in old]
        first += (*map(DeleteEntry, in_the_way), AddEntry(entry))
        old -= set(in_the_way)
    return first, [DeleteEntry(e) for e in reversed(_in_order(old))]


def _rules(desired: frozenset[Rule], observed: frozenset[Rule]) -> tuple[list[Step], list[Step]]:
    old = observed - desired
    twins = {same_to_kernel(r): r for r in old}
    first: list[Step] = []
    for rule in _from_the_end(desired - observed):
        twin = twins.get(same_to_kernel(rule))
        if twin is not None:
            first.append(DeleteRule(twin))
            old -= {twin}
        first.append(AddRule(rule))
    return first, [DeleteRule(r) for r in reversed(_from_the_end(old))]


def same_to_kernel(rule: Rule) -> Rule:
    """What the kernel compares of an ip rule: not where `goto` leads, nor `not` (fib_rules.c, rule_exists).

    So a goto that is to lead elsewhere is deleted before it is added; meanwhile look-ups go on without it.
    """
    return replace(rule, target=rule.target if rule.action == "table" else 0, inverted=False, selective=False)


def _ways(entry: Entry) -> list[_Way]:
    """By what the kernel tells IPv6 entries apart: next hops, neither preferred source nor metrics.

    It adds none beside another with which it shares a next hop (fib6_add_rt2node). IPv4 compares everything.
    """
    if entry.family is Family.IPV4:
        return []
    return [(entry.table, entry.destination, entry.metric, h.ifindex, h.gateway) for h in entry.hops]


def _in_order(entries: frozenset[Entry]) -> list[Entry]:
    """Subnets before what needs them as a next hop."""
    return sorted(entries, key=lambda e: (e.table, any(h.gateway for h in e.hops), repr(e)))


def _from_the_end(rules: frozenset[Rule]) -> list[Rule]:
    """Unreachable, then the gotos that lead bystanders past the rest, then by preference from the last."""

    def order(rule: Rule) -> tuple[bool, bool, int, str, str]:
        passes = rule.action == "goto" and not rule.mark
        return rule.action != "unreachable", not passes, -rule.preference, rule.action, repr(rule)

    return sorted(rules, key=order)
