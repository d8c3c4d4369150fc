"""Who of the daemon answers which request, and in which thread."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from procroute import protocol
from procroute.core.access import Peer
from procroute.daemon.looking import Looking
from procroute.daemon.rule_requests import RuleRequests
from procroute.daemon.writer import Writer
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError, refused
from procroute.told import ERROR, told

_Handler = Callable[[Peer, Any], protocol.Reply]


class Answering:
    """In the loop's thread. do: has something done in the writer's. looker: the thread that only looks.

    assignments: cgroup, from the mount point, to id, as they are now. reread: has the configuration read
    again; lines on what of it does not hold yet.
    """

    def __init__(
        self,
        writer: Writer,
        of_rules: RuleRequests,
        looking: Looking,
        assignments: Callable[[], Mapping[str, int]],
        reread: Callable[[], Awaitable[list[str]]],
        do: Callable[[Callable[[], protocol.Reply]], Awaitable[protocol.Reply]],
        looker: Executor,
        tell: Tell,
    ) -> None:
        self._of_rules = of_rules
        self._reread = reread
        self._do = do
        self._looker = looker
        self._tell = tell
        self._writes: dict[type, _Handler] = {
            protocol.Run: writer.run,
            protocol.Open: writer.open,
            protocol.Assign: writer.assign,
            protocol.Release: writer.release,
            protocol.Ps: writer.ps,
            protocol.Explain: writer.explain,
            protocol.Watch: lambda peer, _: protocol.Watching(assignments=writer.assignments(peer)),
        }
        self._looks: dict[type, _Handler] = {
            protocol.Adapters: lambda *_: looking.adapters(),
            protocol.Inspect: lambda peer, asked: looking.inspect(peer, asked, assignments()),
        }

    async def answer(self, peer: Peer, request: protocol.Request) -> protocol.Reply:
        """The reply to a request. Raises ProcrouteError; one request's fault of ours is not everybody's."""
        try:
            return await self._answer(peer, request)
        except OSError as e:
            raise refused(e) from e
        except ProcrouteError:
            raise
        except Exception as e:
            self._tell(told("".join(traceback.format_exception(e)), ERROR))
            hint = "the daemon's log has the details; please report it"
            raise ProcrouteError("internal", f"a fault in the daemon: {e!r}", hint) from e

    async def _answer(self, peer: Peer, request: protocol.Request) -> protocol.Reply:
        kind = type(request)
        if isinstance(request, protocol.Reload):
            return await self._reload(peer)
        if (of_rules := self._of_rules.by_type.get(kind)) is not None:
            return await of_rules(peer, request)
        if (look := self._looks.get(kind)) is not None:
            return await asyncio.get_running_loop().run_in_executor(self._looker, look, peer, request)
        write = self._writes[kind]
        return await self._do(lambda: write(peer, request))

    async def _reload(self, peer: Peer) -> protocol.Reloaded:
        """Take the configuration as it is now, for root. Raises ProcrouteError; then the old one holds."""
        if not peer.is_root:
            raise ProcrouteError(
                "not-permitted", "only root may have the configuration read again", "sudo procroute reload"
            )
        return protocol.Reloaded(notes=await self._reread())
