"""Which route rule takes a process, and putting it on its route. In the writer's thread.

A program whose exec is held (holding.py) is placed before it runs. Others are met on news of them
(newcomers.py), or when somebody has the rules applied to what runs already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from procroute.core.access import Peer
from procroute.core.hold_rules import HoldRule
from procroute.core.ruling import (
    Kind,
    asked_for,
    elsewhere,
    hold_rules,
    kind,
    known_at_exec,
    needs_news,
    wanted,
    with_exceptions,
)
from procroute.daemon import rule_files
from procroute.daemon.by_rule import ByRule
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.routes import Routes
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.holder.words import Exec
from procroute.kernel import user_managers
from procroute.kernel.cgroup_mount import CgroupMount
from procroute.kernel.living import everybody
from procroute.kernel.pinned import Known
from procroute.kernel.process_facts import Facts, namespace_of
from procroute.kernel.rule_subject import name_by, subject, user_by
from procroute.kernel.unit_starter import unit_starter
from procroute.protocol import AddRule, Existing, Wanted
from procroute.rulebook import folders
from procroute.rulebook.applications import unit_around
from procroute.rulebook.index import Index
from procroute.rulebook.links import followed
from procroute.rulebook.matching import Tried, meets, trial
from procroute.rulebook.route_rule import RouteRule, Rulebook
from procroute.rulebook.shape import WrittenRule
from procroute.rulebook.subject import Subject
from procroute.user_names import user_name

_K = TypeVar("_K")
_V = TypeVar("_V")
_ROOT: Final = Peer(0, 0, "root")
_REMEMBERED: Final = 256
"""So many execs are remembered: of a script its interpreter's comes right after its own."""
_FREE: Final = 4096
"""So many processes are remembered that have executed a program which is excepted."""
_NOT_MEANT: Final = frozenset({"other-namespace", "process-unknown", "process-unfit"})
"""Errors of who is not to be routed at all: no reason to stop a program, nor to speak of it."""


class _Before(NamedTuple):
    """An exec that was held. program: what the process ran until then, and its words; keys: of its rules."""

    program: tuple[str, tuple[str, ...]]
    path: str
    keys: frozenset[str]


class _Executing(NamedTuple):
    """now: what is said of a process; then: as it will be when its exec has come about; keys: of the rules
    that hold it."""

    now: Facts
    then: Subject
    keys: frozenset[str]


class _Once:
    """Says something the first time only."""

    def __init__(self, say: Callable[[bool], None]) -> None:
        self._say: Callable[[bool], None] | None = say

    def __call__(self, what: bool) -> None:
        say, self._say = self._say, None
        if say is not None:
            say(what)


class Ruling:
    """by_rule, letting_go: put processes on routes, and let them go."""

    def __init__(self, routes: Routes, by_rule: ByRule, letting_go: LettingGo, tell: Tell) -> None:
        self._routes = routes
        self._by_rule = by_rule
        self._letting_go = letting_go
        self._tell = tell
        self._said: set[str] = set()
        self.book = Rulebook()
        self._index = Index(())
        self._at_exec = Index(())
        self._asked: frozenset[str] = frozenset()
        self._linked = Rulebook()
        self._order: dict[str, int] = {}
        self._excepted: frozenset[str] = frozenset()
        self._free: dict[tuple[int, int], int] = {}
        self._before: dict[tuple[int, int], _Before] = {}

    def load(self) -> list[str]:
        """Read all rules again; lines on what is left out of them. A bad file changes nothing.

        Raises ProcrouteError rules-bad.
        """
        book = folders.load()
        if book.errors:
            worst = book.errors[0]
            more = f", and {len(book.errors) - 1} more" if len(book.errors) > 1 else ""
            hint = f"{worst.hint}{'' if worst.hint.endswith('?') else ';'} " if worst.hint else ""
            raise ProcrouteError(
                "rules-bad",
                f"{worst.place}: {worst.message}{more}",
                f"{hint}procroute rules check tells all; the rules of before hold",
            )
        self._by_rule.rules_moved(elsewhere(self.book, book))
        self.book, self._asked = book, asked_for(book)
        self._linked = linked = followed(book, os.path.realpath)
        self._index, self._at_exec = Index(linked.rules), known_at_exec(linked)
        self._excepted = with_exceptions(book)
        self._order = {rule.place: at for at, rule in enumerate(book.rules)}
        self._before.clear()
        self._free.clear()
        self._said.clear()
        return [f"{f.place}: {f.message}" for f in book.findings]

    def keep(self) -> list[str]:
        """Have the routes there that rules lead to, so that no start waits for one; lines on those that
        cannot be."""
        kept, notes, seen = set(), [], set()
        for rule, peer in self._leading():
            if (key := (peer.uid, rule.via)) in seen:
                continue
            seen.add(key)
            try:
                kept.add(self._by_rule.keep(peer, self._wanted(rule)))
            except ProcrouteError as e:
                notes.append(f"{rule.place}: {e.message}")
        self._routes.kept = frozenset(kept)
        return notes

    def hold_rules(self) -> list[HoldRule]:
        """The execs that are to be held."""
        starter = unit_starter() if self._by_rule.by_systemd else ""
        return hold_rules(self.book, lambda rule: self._routes.meant(self._wanted(rule)).strict, starter)

    @property
    def needs_news(self) -> bool:
        """Whether processes are to be looked at on news of them."""
        return needs_news(self.book)

    def held(self, asked: Exec, answer: Callable[[bool], None]) -> None:
        """Place a process whose exec is held. answer: takes whether it may go on, as soon as that is so."""
        executing = self._executing(asked)
        rule = executing and self._at_exec.first(executing.then, executing.keys)
        if executing is None or rule is None:
            answer(True)  # it has ended, or is another; or is not meant
            return
        self._free.pop(key := (asked.pid, asked.began), None)
        if rule.via is None:
            _remember(self._free, key, self._order[rule.place], _FREE)
        once = _Once(answer)
        try:
            self._take(rule, executing.then, executing.now, lambda: once(True))
        except OSError:
            once(True)  # it has ended, or was let go on without us
        except ProcrouteError as e:
            # Systemd that is denied its executor starts the unit nevertheless, first outside of its cgroup.
            allow = (
                e.code in _NOT_MEANT
                or kind(rule) is Kind.UNIT
                or (rule.when_down is not None and rule.when_down.value == "allow")
            )
            once(allow)
            if e.code not in _NOT_MEANT:
                self._say(f"{rule.place}: {asked.path} was {'allowed' if allow else 'denied'}: {e.message}")
        else:
            once(True)

    def met(self, pids: Iterable[int]) -> None:
        """Look at processes of which there is news."""
        for pid in pids:
            found = subject(pid, self._asked, self._by_rule.mount)
            if found is not None:
                self._meet(*found)

    def apply(self, peer: Peer, existing: Existing | None) -> int:
        """Look at everybody, for users at their own; how many are on a rule's route now that were not.

        First whom a rule has put on a route that holds no longer is let go, or finds another one.
        """
        leading = [rule for rule, _ in self._leading()]
        apart = {rule.place for rule in leading if kind(rule) is Kind.USER} & self._excepted
        self._letting_go.of_rules(peer, {rule.place for rule in leading}, apart)
        everyone = _of(peer, self._asked, self._by_rule.mount)
        return sum(self._meet(*found, existing) for found in everyone)

    def add(self, peer: Peer, asked: AddRule) -> RouteRule:
        """Write one more rule, if its owner may have its route. Raises ProcrouteError and OSError."""
        way = asked.rule.via
        if isinstance(way, str):
            self._by_rule.check(peer, Wanted(via=way))
        return rule_files.add(peer, asked, dict(self._routes.settings.access))

    def seen(self, pid: int) -> Subject | None:
        """A process as all rules see it; None: there is none."""
        found = subject(pid, self._asked | {"user", "group", "parent"}, self._by_rule.mount)
        return found and self._from_origin(found[0])

    def matching(self, peer: Peer, written: WrittenRule) -> list[int]:
        """Who would meet a rule that is in no file yet, of those whom the asker may place. In any thread, as
        it takes long. Raises ProcrouteError rule-bad, not-permitted."""
        rule = rule_files.checked(written, peer, dict(self._routes.settings.access))
        (rule,) = followed(Rulebook((rule,)), os.path.realpath).rules
        asked = asked_for(Rulebook((rule,)))
        return [
            found.pid
            for found, _ in _of(peer, asked, self._by_rule.mount)
            if meets(rule, self._from_origin(found))
        ]

    def trial(self, who: Subject) -> tuple[Tried, ...]:
        """Each rule in order, asked, up to and with the one that holds."""
        return trial(self._linked, who)

    def _meet(self, found: Subject, began: int, existing: Existing | None = None) -> bool:
        found = self._from_origin(found)
        rule = self._index.first(found)
        if rule is None:
            return False
        try:
            placed = self._order.get(self._by_rule.rule_of(found.pid))
            before = self._free.get((found.pid, began), placed)
            if before is not None and before < self._order[rule.place]:
                return False  # by what it was executed as, which may be a script
            return self._take(rule, found, _facts(found, began), existing=existing)
        except OSError:
            return False  # it has ended
        except ProcrouteError as e:
            if e.code not in _NOT_MEANT:
                self._say(f"{rule.place}: {describe(found.pid)} was not placed: {e.message}")
        return False

    def _take(
        self,
        rule: RouteRule,
        who: Subject,
        facts: Facts,
        placed: Callable[[], None] = lambda: None,
        existing: Existing | None = None,
    ) -> bool:
        """Put a process where its rule says; whether it was moved to a route. Raises ProcrouteError.

        placed: see ByRule.place.
        """
        if rule.via is None:
            self._letting_go.by_rule(Known(facts.pid, facts.began))
            return False
        peer, route = self._peer(rule), self._wanted(rule)
        if unit := self._unit(rule, who):
            return self._by_rule.unit(peer, unit, route, rule)
        if existing is not None and existing != rule.existing.value:
            rule = replace(rule, existing=type(rule.existing)(existing))
        command = " ".join(who.command) or who.exes[0]
        return self._by_rule.place(peer, facts, command, route, rule, placed)

    def _executing(self, asked: Exec) -> _Executing | None:
        """A process whose exec is held; None: it is not that one any more."""
        found = subject(asked.pid, self._asked, self._by_rule.mount)
        if found is None or found[1] != asked.began:
            return None
        who = self._from_origin(found[0])
        key, now = (asked.pid, asked.began), (who.exes[0], who.command)
        exes, keys = [asked.path], frozenset(asked.keys)
        script = self._before.get(key)
        if script is not None and script.program == now:  # the same exec: of the interpreter by now
            exes.append(script.path)
            keys |= script.keys
        _remember(self._before, key, _Before(now, asked.path, keys), _REMEMBERED)
        real, _, saved = who.uids
        effective = user_by(asked.path, who.uids[1])
        its = replace(
            who,
            exes=tuple(exes),
            name=name_by(asked.path),
            command=(),
            uids=(real, effective, effective if effective != who.uids[1] else saved),
            user=user_name(effective) if "user" in self._asked else "",
        )
        try:
            return _Executing(_facts(who, asked.began), its, keys)
        except OSError:
            return None

    def _from_origin(self, who: Subject) -> Subject:
        return replace(who, cgroup=self._by_rule.origin(who.cgroup))

    def _unit(self, rule: RouteRule, who: Subject) -> str:
        """The cgroup of the unit that follows in place for a process; empty: it is to be moved itself."""
        its = kind(rule)
        if its is Kind.USER:
            uid = user_managers.tree_of(f"{who.cgroup}/")
            whole = rule.place not in self._excepted and self._by_rule.by_systemd
            hers = whole and uid == who.uids[1]
            return user_managers.slice_of(uid) if hers else ""
        return unit_around(who.cgroup, rule.owner) if its is Kind.UNIT else ""

    def _leading(self) -> Iterator[tuple[RouteRule, Peer]]:
        return ((rule, self._peer(rule)) for rule in self.book.rules if rule.enabled and rule.via is not None)

    def _wanted(self, rule: RouteRule) -> Wanted:
        return wanted(rule, self._routes.settings.route)

    @staticmethod
    def _peer(rule: RouteRule) -> Peer:
        return Peer(rule.owner, 0, user_name(rule.owner)) if rule.owner else _ROOT

    def _say(self, line: str) -> None:
        """Once, until the rules are read again."""
        if line not in self._said:
            self._said.add(line)
            self._tell(line)


def _remember(memory: dict[_K, _V], key: _K, value: _V, most: int) -> None:
    """The oldest go where there are more."""
    memory[key] = value
    while len(memory) > most:
        memory.pop(next(iter(memory)))


def _of(peer: Peer, asked: Collection[str], mount: CgroupMount) -> Iterator[tuple[Subject, int]]:
    """Everybody whom somebody may place, as `subject` has them."""
    for one in everybody():
        if peer.is_root or set(one.uids) == {peer.uid}:
            found = subject(one.pid, asked, mount)
            if found is not None:
                yield found


def _facts(who: Subject, began: int) -> Facts:
    """Raises OSError: it has ended."""
    return Facts(who.pid, who.name, who.uids, began, namespace_of(who.pid), of_kernel=False)
