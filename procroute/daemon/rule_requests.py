"""What clients ask of rules. In the writer's thread, but for what says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from procroute import protocol
from procroute.core.access import Peer
from procroute.daemon import rule_files, subjects
from procroute.daemon.rule_drafts import RuleDrafts
from procroute.daemon.rules import Rules
from procroute.daemon.ruling import Ruling
from procroute.errors import ProcrouteError
from procroute.rulebook.folders import FOLDERS, USERS
from procroute.rulebook.route_rule import RouteRule

Answer = Callable[[Peer, Any], Awaitable[protocol.Reply]]


class RuleRequests:
    """In the loop's thread. do: has something done in the writer's; thread: where is looked at who lives."""

    def __init__(
        self,
        rules: Rules,
        ruling: Ruling,
        drafts: RuleDrafts,
        do: Callable[[Callable[[], Any]], Awaitable[Any]],
        thread: Executor,
    ) -> None:
        self._rules = rules
        self._ruling = ruling
        self._drafts = drafts
        self._do = do
        self._thread = thread
        self.by_type: dict[type, Answer] = {
            protocol.Rules: self._list,
            protocol.TryRules: self._try,
            protocol.MatchRule: self._match,
            protocol.ApplyRules: self._apply,
            protocol.AddRule: self._add,
            protocol.EditRule: self._edit,
        }

    async def _list(self, peer: Peer, _: protocol.Rules) -> protocol.RuleList:
        rules = [r for r in self._ruling.book.rules if peer.is_root or r.owner in (0, peer.uid)]
        told = [self._ruling.facts(r) for r in rules]
        notes = _seen_by(peer, self._rules.notes)
        return protocol.RuleList(rules=told, notes=notes, held=self._rules.held, wrong=self._rules.wrong)

    async def _try(self, peer: Peer, asked: protocol.TryRules) -> protocol.Tried:
        def tried() -> protocol.Tried:
            subjects.shown(peer, asked.pid)
            found = self._ruling.tried(asked.pid)
            if found is None:
                raise ProcrouteError("process-unknown", f"process {asked.pid} has ended", "ps(1) lists them")
            told = (t for t in found if peer.is_root or t.rule.owner in (0, peer.uid))
            return protocol.Tried(rules=[protocol.TriedRule(self._ruling.facts(t.rule), t.why) for t in told])

        reply: protocol.Tried = await self._do(tried)
        return reply

    async def _match(self, peer: Peer, asked: protocol.MatchRule) -> protocol.Matched:
        loop = asyncio.get_running_loop()
        pids = await loop.run_in_executor(self._thread, self._drafts.matching, peer, asked.rule)
        return protocol.Matched(pids=pids)

    async def _apply(self, peer: Peer, asked: protocol.ApplyRules) -> protocol.Applied:
        placed, released = await self._do(lambda: self._ruling.apply(peer, asked.existing))
        notes = self._rules.notes + await self._do(lambda: self._ruling.not_followed(peer))
        return protocol.Applied(placed=placed, released=released, notes=_seen_by(peer, notes))

    async def _add(self, peer: Peer, asked: protocol.AddRule) -> protocol.Edited:
        rule: RouteRule = await self._do(lambda: self._drafts.add(peer, asked))
        notes = _seen_by(peer, await self._rules.reload())
        return protocol.Edited(rule=self._ruling.facts(rule), notes=notes)

    async def _edit(self, peer: Peer, asked: protocol.EditRule) -> protocol.Edited:
        rule: protocol.RuleFacts = await self._do(lambda: self._ruling.facts(rule_files.edit(peer, asked)))
        return protocol.Edited(rule=rule, notes=_seen_by(peer, await self._rules.reload()))


def _seen_by(peer: Peer, notes: list[str]) -> list[str]:
    """Without those on other users' rules."""
    folders = [f"{folder / USERS}/" for folder in FOLDERS]
    own = tuple(f"{folder}{peer.uid}/" for folder in folders)
    return [n for n in notes if peer.is_root or n.startswith(own) or not n.startswith(tuple(folders))]
