"""Which routes need nft, and for what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from procroute.core.door import Door
from procroute.core.machine import Machine
from procroute.core.reverse_path import is_checked
from procroute.core.ruleset import Restore, Ruleset, Steered
from procroute.core.tables import families
from procroute.identity import Identity
from procroute.model import Entry, LiveRoute, Marks


def ruleset(
    identity: Identity,
    machine: Machine,
    routes: Collection[LiveRoute],
    doors: Mapping[int, Door],
    entries: Iterable[Entry],
) -> Ruleset | None:
    """What the table should do for these routes; None where nothing asks for one.

    doors: of the routes without BPF. entries: all of our tables.
    """
    found = Ruleset(
        mask=identity.mark_mask,
        belted={r.number: identity.mark(r.number) for r in routes if r.marks is Marks.BOTH},
        steered=tuple(
            _steered(identity, machine, live, doors[live.number], entries)
            for live in sorted(routes, key=lambda r: r.number)
            if live.marks is Marks.PACKETS
        ),
        restore=_restore(identity, machine, routes),
    )
    return found if found.numbers or found.restore is not None else None


def _steered(
    identity: Identity, machine: Machine, live: LiveRoute, door: Door, entries: Iterable[Entry]
) -> Steered:
    table = identity.route_table(live.number)
    own = [e for e in entries if e.table == table and e.kind == "unicast"]
    confined = {
        family: frozenset(e.destination for e in own if e.family is family)
        for family in families(machine)
        if not live.by_main and not any(e.destination == family.everything for e in own)
    }
    others = tuple(sorted(a.ifindex for a in machine.outward() if a.ifindex not in door.adapters))
    mark, strict = identity.mark(live.number), live.route.strict
    return Steered(live.number, mark, strict, door, others, confined)


def _restore(identity: Identity, machine: Machine, routes: Collection[LiveRoute]) -> Restore | None:
    by = (a for r in routes for a in machine.members(r))
    adapters = frozenset(a.name for a in by if is_checked(machine, a))
    if not adapters:
        return None
    # Those that mark packets, too: sockets of ours carry their marks, by which adapters are checked.
    marks = (identity.mark(r.number) for r in routes)
    return Restore(adapters, frozenset(m | b for m in marks for b in (0, identity.bound)))
