"""Which route rule takes a process, and putting it on its route. In the writer's thread.

A program whose exec is held (holding.py) is placed before it runs. Others are met on news of them
(newcomers.py), or when somebody has the rules applied to what runs already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from typing import Final

from procroute.core.access import Peer
from procroute.core.hold_rules import NO_STARTER, HoldRule
from procroute.core.outer import label, with_tunnels
from procroute.core.rule_facts import rule_facts
from procroute.core.ruling import (
    Kind,
    elsewhere,
    exceptions_again,
    gone,
    hold_rules,
    kind,
    leads,
    needs_news,
)
from procroute.daemon import rules_in_use
from procroute.daemon.by_rule import ByRule
from procroute.daemon.held_execs import HeldExecs
from procroute.daemon.leading import Leading
from procroute.daemon.letting_go import LettingGo
from procroute.daemon.owning import Owning
from procroute.daemon.recent import Recent
from procroute.daemon.routes import Routes
from procroute.daemon.rule_subjects import RuleSubjects, facts_of
from procroute.daemon.taking import Taking
from procroute.engine.words import Tell, describe
from procroute.errors import ProcrouteError
from procroute.holder.words import Exec
from procroute.identity import SLICE
from procroute.kernel.pinned import Known
from procroute.kernel.unit_starter import unit_starter
from procroute.model import Existing
from procroute.protocol import RuleFacts
from procroute.rulebook import folders
from procroute.rulebook.matching import Tried, trial
from procroute.rulebook.route_rule import RouteRule, Rulebook
from procroute.rulebook.subject import Subject
from procroute.told import WARNING, told

_FREE: Final = 4096
"""So many processes are remembered that have executed a program which is excepted."""
_NOT_MEANT: Final = frozenset({"other-namespace", "process-unknown", "process-unfit"})
"""Errors of who is not to be routed at all: no reason to stop a program, nor to speak of it."""


class _Once:
    """Says something the first time only."""

    def __init__(self, say: Callable[[bool], None]) -> None:
        self._say: Callable[[bool], None] | None = say

    def __call__(self, what: bool) -> None:
        say, self._say = self._say, None
        if say is not None:
            say(what)


class Ruling:
    """by_rule, letting_go: put processes on routes, and let them go. owning: users' sockets that need no
    process to be moved."""

    def __init__(
        self,
        routes: Routes,
        subjects: RuleSubjects,
        by_rule: ByRule,
        letting_go: LettingGo,
        owning: Owning,
        tell: Tell,
    ) -> None:
        self._routes = routes
        self._subjects = subjects
        self._by_rule = by_rule
        self._letting_go = letting_go
        self._owning = owning
        self._taking = Taking(routes, by_rule, letting_go, owning)
        self._leading = Leading(routes, by_rule, owning, self._taking)
        self._tell = tell
        self._said: set[str] = set()
        self._execs = HeldExecs(subjects)
        self._rules = rules_in_use.in_use(Rulebook())
        self._starter = NO_STARTER
        self._gone: tuple[RouteRule, ...] = ()
        self._free: Recent[tuple[int, int], int] = Recent(_FREE)
        self._read = b""

    @property
    def book(self) -> Rulebook:
        """The rules that hold."""
        return self._rules.book

    def load(self) -> list[str]:
        """Read all rules again; lines on what is left out of them. A bad file changes nothing.

        Raises ProcrouteError rules-bad.
        """
        self._read = folders.fingerprint()
        book = with_tunnels(rules_in_use.read(), self._routes.settings.tunnels.values())
        before = Rulebook((*self.book.rules, *self._gone))
        self._by_rule.rules_moved(elsewhere(before, book))
        named = self._by_rule.rules_named()
        self._gone = tuple(rule for rule in gone(before, book) if rule.place in named)
        again = exceptions_again(self.book, book)
        for who, at in list(self._free.items()):
            if at in again:
                self._free[who] = again[at]
            else:
                del self._free[who]
        self._rules = rules_in_use.in_use(book)
        self._said.clear()
        return [f"{f.place}: {f.message}" for f in book.findings]

    def changed(self) -> bool:
        """Whether files are other than when they were read last."""
        return folders.fingerprint() != self._read

    def keep(self) -> list[str]:
        """Have the routes there that rules lead to; see Leading.keep."""
        return self._leading.keep(self._rules)

    def facts(self, rule: RouteRule) -> RuleFacts:
        """A rule, to be told."""
        return rule_facts(rule, self._owning.finds(rule))

    def hold_rules(self) -> list[HoldRule]:
        """The execs that are to be held."""
        self._starter = unit_starter() if self._by_rule.by_systemd else NO_STARTER
        return hold_rules(
            self.book, lambda rule: self._routes.meant(self._taking.wanted(rule)).strict, self._starter
        )

    def waited_for(self, asked: Exec) -> bool:
        """Whether process 1 waits until this exec has its answer."""
        return asked.path == self._starter.program and not self._starter.opens

    @property
    def needs_news(self) -> bool:
        """Whether processes are to be looked at on news of them."""
        return needs_news(self.book, self._owning.whole)

    def held(self, asked: Exec, answer: Callable[[bool], None]) -> None:
        """Place a process whose exec is held. answer: takes whether it may go on, as soon as that is so."""
        executing = self._execs.executing(asked, self._rules.asked)
        rule = executing and self._rules.at_exec.first(executing.then, executing.paths)
        if executing is None or rule is None:
            answer(True)  # it has ended, or is another; or is not meant
            return
        self._free.pop(key := (asked.pid, asked.began), None)
        if rule.via is None:
            self._free[key] = self._rules.order[rule.place]
        once = _Once(answer)
        try:
            self._taking.take(self._rules, rule, executing.then, executing.now, lambda: once(True))
        except OSError:
            once(True)  # it has ended, or was let go on without us
        except ProcrouteError as e:
            # Systemd that is denied its executor starts the unit nevertheless, first outside of its cgroup.
            allow = e.code in _NOT_MEANT or kind(rule) is Kind.UNIT or rule.when_down == "allow"
            if not allow:
                self._execs.denied(asked)
            once(allow)
            if e.code not in _NOT_MEANT:
                self._say(f"{rule.place}: {asked.path} was {'allowed' if allow else 'denied'}: {e.message}")
        else:
            once(True)

    def meant(self, pids: Collection[int]) -> list[int]:
        """Without those of these processes whom no rule can mean. In any thread: it takes no lock."""
        rules = self._rules
        seen = self._subjects.glimpses(rules.asked, owned=rules.owned)
        found = ((pid, seen.of(pid)) for pid in pids)
        # Who was placed by us is known to rules by the cgroup of before.
        return [pid for pid, one in found if one and (SLICE in one.cgroup or rules.index.first(one))]

    def met(self, pids: Iterable[int]) -> None:
        """Look at processes of which there is news."""
        for pid in pids:
            found = self._subjects.of(pid, self._rules.asked)
            if found is not None:
                self._meet(*found)

    def apply(self, peer: Peer, existing: Existing | None) -> tuple[int, int]:
        """Look at everybody, for users at their own; how many are on a rule's route now that were not, and of
        how many no rule holds any more.

        First whom a rule has put on a route that holds no longer is let go, or finds another one.
        """
        led = [*filter(leads, self.book.rules)]
        apart = {rule.place for rule in led if kind(rule) is Kind.USER} & self._rules.excepted
        places = {rule.place for rule in led} | set(map(label, self._routes.settings.tunnels))
        before = self._by_rule.members(peer)
        self._letting_go.of_rules(peer, places, apart)
        placed = 0
        owned: dict[tuple[int, Existing], list[Known]] = {}
        for found, began in self._subjects.everybody(peer, self._rules.asked):
            rule = self._rules.index.first(found)
            if rule is not None and self._owning.has(rule, uid := found.uids[1]):
                owned.setdefault((uid, existing or rule.existing), []).append(Known(found.pid, began))
            placed += self._meet(found, began, existing)
        following = {known.pid for some in owned.values() for known in some}
        left = before - self._by_rule.members(peer) - following
        placed += sum(self._owning.follow(uid, who, after) for (uid, after), who in owned.items())
        return placed, sum(os.path.exists(f"/proc/{pid}") for pid in left)

    def not_followed(self, peer: Peer) -> list[str]:
        """Rules of whose processes look-ups do not follow; see ByRule. Raises OSError."""
        return self._by_rule.not_followed(peer)

    def tried(self, pid: int) -> tuple[Tried, ...] | None:
        """Each rule in order, asked of a process, up to and with the one that holds; None: it has ended."""
        found = self._subjects.of(pid, self._rules.asked | {"user", "group", "parent"})
        return found and trial(self._rules.linked, found[0])

    def _meet(self, found: Subject, began: int, existing: Existing | None = None) -> bool:
        rule = self._rules.index.first(found)
        if rule is None:
            return False
        try:
            placed = self._rules.order.get(self._by_rule.rule_of(found.pid))
            before = self._free.get((found.pid, began), placed)
            if before is not None and before < self._rules.order[rule.place]:
                return False  # by what it was executed as, which may be a script
            return self._taking.take(self._rules, rule, found, facts_of(found, began), existing=existing)
        except OSError:
            return False  # it has ended
        except ProcrouteError as e:
            if e.code not in _NOT_MEANT:
                line = f"{rule.place}: {describe(found.pid)} was not placed: {e.message}"
                self._say(told(line, WARNING, pid=found.pid, rule=rule.place))
        return False

    def _say(self, line: str) -> None:
        """Once, until the rules are read again."""
        if line not in self._said:
            self._said.add(line)
            self._tell(line)
