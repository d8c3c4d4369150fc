"""The route rules that the daemon has, as rows: each with what it does now and what is doubtful about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from procroute import protocol
from procroute.protocol import RuleFacts
from procroute.rulebook import in_words
from procroute.terminal import printable
from procroute_tui.model import words
from procroute_tui.model.columns import Users
from procroute_tui.model.details import Line, Section
from procroute_tui.model.machine import Machine

Doubts = Mapping[str, tuple[str, ...]]
"""What rules name that is not there now, by their place."""
_FINDS: Final = {
    "held": "held: a program's start waits until it is on the route",
    "unit": "unit: the unit's cgroup follows, no process moves",
    "user": "user: the user's slice follows where systemd keeps one; else by news of processes",
    "owner": "owner: the user's sockets carry the route's mark from birth, no process moves",
    "news": "news of processes: the first packets of one may go before",
}
_NAMED: Final = 8
"""So many processes of a rule are named."""


class RuleRow(Struct, frozen=True):
    """A rule. number: in the order in which they are asked, from 1; placed: processes that are on a route by
    it; wrong: what of it does not hold now, doubts: what it names that is not there."""

    number: int
    rule: RuleFacts
    placed: int = 0
    wrong: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class RuleBook:
    """What was last heard of rules. Tell it what comes, then ask for `rows`."""

    def __init__(self) -> None:
        self.told: protocol.RuleList | None = None
        self.doubts: Doubts = {}
        self.rows: list[RuleRow] = []
        self._of_none: list[str] = []
        self._made_of: object = None

    def take(self, told: protocol.RuleList, machine: Machine) -> None:
        """The daemon's answer to `rules`."""
        self.told = told
        self.count(machine)

    def count(self, machine: Machine) -> bool:
        """Who is placed by what now; whether anything is other than before."""
        if self.told is None:
            return False
        placed = Counter[str]()
        for assignment in machine.assignments.values():
            if assignment.rule:
                placed[assignment.rule] += len(machine.members.get(assignment.id, ()))
        made_of = (self.told, self.doubts, placed)
        if self._made_of == made_of:
            return False
        self._made_of = made_of
        wrong, self._of_none = _by_rule(self.told.notes, {rule.place for rule in self.told.rules})
        self.rows = [
            RuleRow(
                number,
                rule,
                placed[rule.place],
                tuple(wrong.get(rule.place, ())),
                self.doubts.get(rule.place, ()),
            )
            for number, rule in enumerate(self.told.rules, 1)
        ]
        return True

    def summary(self) -> str:
        """All of it in one line."""
        if self.told is None:
            return "asking the daemon"
        off = sum(not row.rule.enabled for row in self.rows)
        parts = [_many(len(self.rows), "rule"), f"{off} off" if off else ""]
        parts.append(f"{_many(sum(row.placed for row in self.rows), 'process', 'es')} placed")
        parts.append(f"starts of {_many(self.told.held, 'file')} held" if self.told.held else "")
        return " · ".join(filter(None, parts))

    def findings(self) -> Iterator[str]:
        """What is wrong with the files, and is no rule's own."""
        if self.told is not None and self.told.wrong:
            yield f"the files cannot be used: {printable(self.told.wrong)}"
        yield from map(printable, self._of_none)

    def filter_for(self, place: str) -> str:
        """What finds the processes of this rule alone: FILE:LINE: without the folder where that will do."""
        brief = place.rpartition("/")[2]
        same = [row for row in self.rows if row.rule.place.endswith(f"/{brief}")]
        return f"{brief if len(same) == 1 else place}:"

    def ways(self) -> list[str]:
        """The routes that rules lead to, each once."""
        return list(dict.fromkeys(row.rule.via for row in self.rows if row.rule.via))


def _by_rule(notes: Iterable[str], places: set[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Notes begin with FILE:LINE where they are a rule's; the others."""
    found: dict[str, list[str]] = {}
    others = []
    for note in notes:
        place, between, text = note.partition(": ")
        if between and place in places:
            found.setdefault(place, []).append(text)
        else:
            others.append(note)
    return found, others


def who(rule: RuleFacts) -> str:
    """Its conditions in short."""
    return in_words.who(rule.conditions, rule.unless)


def way(rule: RuleFacts) -> str:
    """Where it leads."""
    return in_words.way(rule)


def short(place: str) -> str:
    """FILE:LINE without the folder."""
    return printable(place.rpartition("/")[2])


def processes_of(machine: Machine, place: str) -> list[int]:
    """Who is on a route by a rule, in order."""
    ours = (a.id for a in machine.assignments.values() if a.rule == place)
    return sorted(pid for number in ours for pid in machine.members.get(number, ()))


def sections(row: RuleRow, machine: Machine, users: Users) -> Iterator[Section]:
    """All that is known of a rule, as titled lines."""
    yield Section(f"rule {row.number} · {printable(row.rule.place)}", list(_facts(row, users)))
    pids = processes_of(machine, row.rule.place)
    if pids:
        named: list[Line] = [("", _named(machine, pid), "") for pid in pids[:_NAMED]]
        if len(pids) > _NAMED:
            named.append(("", f"and {len(pids) - _NAMED} more", "dim"))
        yield Section(f"placed by it now ({len(pids)})", named)


def _facts(row: RuleRow, users: Users) -> Iterator[Line]:
    rule = row.rule
    if rule.comment:
        yield "comment", printable(rule.comment), ""
    for text in row.wrong:
        yield "wrong", printable(text), "bad"
    for text in row.doubts:
        yield "doubt", printable(text), ""
    yield "state", "in use" if rule.enabled else "switched off", "" if rule.enabled else "dim"
    for key, any_of in rule.conditions.items():
        yield key, printable(" or ".join(any_of)), ""
    for key, any_of in rule.unless.items():
        yield "not", f"{key} {printable(' or '.join(any_of))}", ""
    yield "way", way(rule) + ("" if rule.via else ": the machine's own, whatever later rules say"), "route"
    yield "whose", f"{printable(users(rule.owner))}{'' if rule.owner else ', the administrator'}", ""
    yield "finds", _FINDS[rule.finds], ""
    if rule.via:
        ends = "are ended" if rule.existing == "reset" else "go on as they are"
        yield "open", f"connections that are open when it takes a process {ends}", ""
        if rule.when_down:
            yield "down", f"while procrouted does not answer: {rule.when_down} the start", ""


def _named(machine: Machine, pid: int) -> str:
    process = machine.processes.get(pid)
    return f"{pid} {printable(process.name) if process is not None else words.NONE}"


def tried(rules: list[protocol.TriedRule]) -> Iterator[Section]:
    """Which rule holds for a process, and why each earlier one does not."""
    holds = next((one.rule for one in rules if not one.why), None)
    if holds is None:
        yield Section("no rule holds", [("", "it goes the machine's own way, or as a person has put it", "")])
    else:
        lines: list[Line] = [("", f"✔ {who(holds)}: {way(holds)}", "good")]
        if holds.comment:
            lines.append(("", printable(holds.comment), "dim"))
        yield Section(f"{printable(holds.place)} holds", lines)
    others = [one for one in rules if one.why]
    if others:
        lines = []
        for one in others:
            lines += [("", f"✘ {printable(one.rule.place)}", "name"), ("", printable(one.why), "dim")]
        yield Section(f"earlier ones do not ({len(others)})" if holds else f"why ({len(others)})", lines)


def _many(number: int, what: str, several: str = "s") -> str:
    return f"{number} {what}{several if number != 1 else ''}"
