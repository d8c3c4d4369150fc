"""Other people's rules and tables that would misroute us, or we them: refused by name."""

from __future__ import annotations

from collections.abc import Iterable

from procroute.core.machine import Machine
from procroute.core.rules import LOCAL, stands_before
from procroute.errors import ProcrouteError
from procroute.identity import Identity
from procroute.model import Entry, Rule

_WHERE = "choose other numbers in [identity] of /etc/procroute/config.toml"


def check(identity: Identity, machine: Machine) -> None:
    """Raises ProcrouteError overlap, naming the rule or table, where routes would not hold on this machine.

    Sources: ip-rule(8); Documentation/networking/vrf.rst for the recipe that moves the rule of table local.
    """
    for rule in machine.rules:
        if rule.action == "table" and rule.target == LOCAL and rule.preference > identity.preference:
            raise ProcrouteError(
                "overlap",
                f"the rule of table local stands at {rule.preference}, behind ours",
                f"set [identity] preference above {rule.preference}, or move that rule to 0 again",
            )
        if identity.owns_preference(rule.preference):
            raise ProcrouteError("overlap", f"somebody else's rule stands among ours: {text(rule)}", _WHERE)
        if rule.mark & rule.mask & identity.mark_mask and rule.mask != 0xFFFF_FFFF:
            raise ProcrouteError("overlap", f"a rule uses bits of our mark: {text(rule)}", _WHERE)
        if rule.mask == 0xFFFF_FFFF and rule.mark & identity.mark_mask:
            raise ProcrouteError("overlap", f"a rule uses a mark with our bits: {text(rule)}", _WHERE)
        if rule.preference == 0 and stands_before(identity, rule, rule.family):
            raise ProcrouteError(
                "overlap",
                f"a rule stands before all that can be put before it: {text(rule)}",
                "give that rule a number above 1",
            )
        if rule.action == "table" and identity.owns_table(rule.target):
            raise ProcrouteError(
                "overlap", f"somebody else's rule leads to a table of ours: {text(rule)}", _WHERE
            )


def check_identities(identity: Identity, recorded: Iterable[Identity]) -> None:
    """Raises ProcrouteError other-numbers where routes were made by other numbers than now.

    recorded: the identities by which there are routes. They would fight over the same rules, and marks of the
    one mean nothing, or something else, to the other.
    """
    for other in recorded:
        changed = [
            f"{name} {_number(name, old)}, not {_number(name, new)}"
            for name in Identity.__struct_fields__
            if (old := getattr(other, name)) != (new := getattr(identity, name))
        ]
        if changed:
            raise ProcrouteError(
                "other-numbers",
                f"there are routes under other numbers than [identity] has now: {', '.join(changed)}",
                "wait for their commands or end them, then procroute cleanup; or change the numbers back",
            )


def _number(name: str, value: int) -> str:
    return f"{value:#x}" if name == "mark_mask" else str(value)


def check_entries(identity: Identity, entries: Iterable[Entry]) -> None:
    """Raises ProcrouteError overlap when somebody else's entry is among those of our tables."""
    for entry in entries:
        if entry.protocol != identity.protocol:
            raise ProcrouteError(
                "overlap",
                f"somebody else's entry for {entry.destination} is in table {entry.table}, which is ours",
                _WHERE,
            )


def text(rule: Rule) -> str:
    """A rule as ip(8) would print it, near enough to find it."""
    words = [f"{rule.preference}:", *(["not"] if rule.inverted else []), f"from {rule.source or 'all'}"]
    if rule.destination is not None:
        words.append(f"to {rule.destination}")
    if rule.mask:
        words.append(f"fwmark {rule.mark:#x}" + ("" if rule.mask == 0xFFFF_FFFF else f"/{rule.mask:#x}"))
    if rule.udp_port:
        words.append(f"ipproto udp sport {rule.udp_port}")
    words.append({"table": "lookup"}.get(rule.action, rule.action))
    if rule.target:
        words.append(str(rule.target))
    if rule.suppress >= 0:
        words.append(f"suppress_prefixlength {rule.suppress}")
    return " ".join(words) + f" ({rule.family.title})"
