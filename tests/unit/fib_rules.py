"""The kernel's walk through ip rules and tables (net/core/fib_rules.c, fib_rules_lookup), as far as ours go.

found = look_up(rules, entries, Packet(ip_address("192.0.2.1"), mark=0x0200_0000))
found.table, found.entry, found.evaluated
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from procroute.model import Entry, Family, IPAddress, Rule


class Packet(NamedTuple):
    """What a look-up is asked with. source None: the socket has no address yet. udp_port: 0: it is no UDP."""

    destination: IPAddress
    mark: int = 0
    source: IPAddress | None = None
    udp_port: int = 0


class Found(NamedTuple):
    """table: whose entry it was; None: fell out at the end; 0, without an entry: a rule said unreachable."""

    table: int | None
    entry: Entry | None
    evaluated: int

    @property
    def unreachable(self) -> bool:
        """Whether the sender is told at once that there is no way."""
        return self.table == 0 or (self.entry is not None and self.entry.kind == "unreachable")


def ordered(rules: Iterable[Rule], family: Family) -> list[Rule]:
    """Rules of a family in the kernel's order; those of one preference in the order in which they came."""
    return sorted((r for r in rules if r.family is family), key=lambda r: r.preference)


def look_up(rules: Sequence[Rule], entries: Iterable[Entry], packet: Packet) -> Found:
    """Where a packet goes by these rules (one family, in order) and tables."""
    family, entries = Family.of(packet.destination), list(entries)
    evaluated = position = 0
    while position < len(rules):
        rule = rules[position]
        assert rule.family is family
        evaluated += 1
        position += 1
        if not _matches(rule, packet):
            continue
        if rule.action == "goto":
            # A goto to a preference where nothing stands is passed over.
            later = (i for i in range(position, len(rules)) if rules[i].preference == rule.target)
            position = next(later, position)
        elif rule.action == "unreachable":
            return Found(0, None, evaluated)
        else:
            entry = _best(entries, rule.target, packet.destination)
            if entry is not None and entry.kind != "throw":
                return Found(rule.target, entry, evaluated)
    return Found(None, None, evaluated)


def _matches(rule: Rule, packet: Packet) -> bool:
    matches = not (rule.mark ^ packet.mark) & rule.mask and rule.udp_port in (0, packet.udp_port)
    if rule.source is not None:
        matches = matches and packet.source is not None and packet.source in rule.source
    if rule.destination is not None:
        matches = matches and packet.destination in rule.destination
    return matches is not rule.inverted


def _best(entries: Iterable[Entry], table: int, destination: IPAddress) -> Entry | None:
    found = _covering(entries, table, destination)
    return min(found, key=lambda e: (-e.destination.prefixlen, e.metric), default=None)


def _covering(entries: Iterable[Entry], table: int, destination: IPAddress) -> Iterator[Entry]:
    return (
        e
        for e in entries
        if e.table == table and e.destination.version == destination.version and destination in e.destination
    )
