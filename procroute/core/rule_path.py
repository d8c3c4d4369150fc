"""Which ip rules a packet meets until one decides (ip-rule(8)): the kernel tells the table, not the rule.

    for step in rule_path(rules, entries, question, reply, identity.protocol):
        print(step.rule.preference, step.outcome)

The way is that of net/core/fib_rules.c, fib_rules_lookup, led by what the kernel has answered: a rule whose
table is another one than the answer's had nothing for the packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from msgspec import Struct

from procroute.core.route_get import Question, Reply
from procroute.model import Entry, Rule

LOCAL, MAIN = 255, 254
_REFUSING = frozenset({"unreachable", "blackhole", "prohibit"})


class Outcome(Enum):
    """What a rule does to a packet that it matches. PERHAPS: it selects by what was not asked about."""

    JUMPS = "goto"
    NOTHING = "nothing there"
    DECIDES = "decides"
    PERHAPS = "perhaps"


class Met(Struct, frozen=True):
    """A rule that matches a packet, and what it does."""

    rule: Rule
    outcome: Outcome


def rule_path(
    rules: Sequence[Rule], entries: Iterable[Entry], question: Question, reply: Reply, ours: int
) -> tuple[Met, ...]:
    """The rules that match, up to the one that decides, which comes last; without such a one nothing did.

    rules: in the kernel's order. entries: of the tables that are known, to tell which one refuses.
    ours: the protocol number of our rules; those by port are for the kernel's tunnels, and no program has
    such a port.
    """
    mine = [rule for rule in rules if rule.family is question.family]
    return tuple(_walk(mine, list(entries), question, reply, ours))


def _walk(
    rules: Sequence[Rule], entries: Sequence[Entry], question: Question, reply: Reply, ours: int
) -> Iterator[Met]:
    position = 0
    while position < len(rules):
        rule = rules[position]
        position += 1
        if not matches(rule, question) or (rule.udp_port and rule.protocol == ours):
            continue
        if rule.selective or rule.udp_port:
            if rule.action != "table" or rule.target:  # l3mdev names no table
                yield Met(rule, Outcome.PERHAPS)
            continue
        if rule.action == "goto":
            later = (i for i in range(position, len(rules)) if rules[i].preference == rule.target)
            to = next(later, None)
            if to is not None:  # where nothing stands it is passed over
                yield Met(rule, Outcome.JUMPS)
                position = to
        elif rule.action == "table":
            decides = _decides(rule, entries, question, reply)
            yield Met(rule, Outcome.DECIDES if decides else Outcome.NOTHING)
            if decides:
                return
        elif rule.action in _REFUSING:
            yield Met(rule, Outcome.DECIDES)
            return


def _decides(rule: Rule, entries: Sequence[Entry], question: Question, reply: Reply) -> bool:
    if not reply.error:
        suppressed = best(entries, rule.target, question) if rule.suppress >= 0 else None
        if suppressed is not None and suppressed.destination.prefixlen <= rule.suppress:
            return False
        merged = reply.kind == "local" and reply.table == MAIN  # until there is a rule of somebody's
        return rule.target == reply.table or (merged and rule.target == LOCAL)
    entry = best(entries, rule.target, question)
    return entry is not None and entry.kind in _REFUSING


def matches(rule: Rule, question: Question) -> bool:
    """Whether a rule matches, by what it is known to select by."""
    found = not (rule.mark ^ question.mark) & rule.mask
    if rule.source is not None:
        found = found and question.source is not None and question.source in rule.source
    if rule.destination is not None:
        found = found and question.destination in rule.destination
    return found is not rule.inverted


def best(entries: Iterable[Entry], table: int, question: Question) -> Entry | None:
    """The entry of a table that a packet goes by: of the longest prefix the one of the least metric."""
    covering = (
        e
        for e in entries
        if e.table == table and e.family is question.family and question.destination in e.destination
        if e.only_from is None or (question.source is not None and question.source in e.only_from)
    )
    return min(covering, key=lambda e: (-e.destination.prefixlen, e.metric), default=None)
