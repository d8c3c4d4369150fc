"""A client for programs that use asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, overload

from msgspec.structs import replace

from procroute import protocol
from procroute.client import answers, failures
from procroute.client.connection import HEAD, PATIENCE, TIMEOUT, attempt, framed, place, size_of
from procroute.errors import ProcrouteError


class AsyncClient:
    """A connection to the daemon, to be used in `async with`. Requests of several tasks take turns.

    path and timeout as of Client; entering raises what making a Client does.
    """

    def __init__(self, path: str | None = None, timeout: float = TIMEOUT) -> None:
        self._path = path or place()
        self._timeout = timeout
        self._asked = 0
        self._early: deque[protocol.Event] = deque()
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._timeout):
                # Not by asyncio: it takes EAGAIN, a full queue (unix(7)), for a connection that is coming.
                while (sock := attempt(self._path)) is None:  # noqa: ASYNC110 - nothing tells of room
                    await asyncio.sleep(PATIENCE)
        except TimeoutError as e:
            raise failures.silent(self._timeout) from e
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=sock.detach())
        self._streams = await asyncio.open_unix_connection(sock=connected)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up. What was assigned stays so."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()

    @overload
    async def ask(self, request: protocol.Run) -> protocol.Placed: ...
    @overload
    async def ask(self, request: protocol.Open) -> protocol.Opened: ...
    @overload
    async def ask(self, request: protocol.Assign) -> protocol.Assigned: ...
    @overload
    async def ask(self, request: protocol.Release) -> protocol.Released: ...
    @overload
    async def ask(self, request: protocol.Ps) -> protocol.Assignments: ...
    @overload
    async def ask(self, request: protocol.Adapters) -> protocol.AdapterList: ...
    @overload
    async def ask(self, request: protocol.Inspect) -> protocol.Inspected: ...
    @overload
    async def ask(self, request: protocol.Explain) -> protocol.Explained: ...
    @overload
    async def ask(self, request: protocol.Rules) -> protocol.RuleList: ...
    @overload
    async def ask(self, request: protocol.TryRules) -> protocol.Tried: ...
    @overload
    async def ask(self, request: protocol.MatchRule) -> protocol.Matched: ...
    @overload
    async def ask(self, request: protocol.ApplyRules) -> protocol.Applied: ...
    @overload
    async def ask(self, request: protocol.AddRule) -> protocol.Edited: ...
    @overload
    async def ask(self, request: protocol.EditRule) -> protocol.Edited: ...
    @overload
    async def ask(self, request: protocol.Reload) -> protocol.Reloaded: ...
    @overload
    async def ask(self, request: protocol.Watch) -> protocol.Watching: ...

    async def ask(self, request: protocol.Request) -> protocol.Reply:
        """As Client.ask."""
        async with self._turn:
            self._asked += 1
            frame = framed(protocol.frame(replace(request, id=self._asked))[HEAD:])
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._answer(request, frame)
            except TimeoutError as e:
                await self.close()
                raise failures.silent(self._timeout) from e
            except asyncio.CancelledError:  # the answer may be on its way, and would be taken for the next
                await self.close()
                raise

    async def events(self) -> AsyncIterator[protocol.Event]:
        """As Client.events. No requests meanwhile: it reads all that comes."""
        while True:
            event = self._early.popleft() if self._early else await self._next_event()
            yield event
            if isinstance(event, protocol.Lost):
                return

    async def _answer(self, request: protocol.Request, frame: bytes) -> protocol.Reply:
        if self._streams is None:
            raise failures.lost()
        self._streams[1].write(frame)
        with contextlib.suppress(OSError):  # what it said before it hung up can still be received
            await self._streams[1].drain()
        while True:
            text = await self._receive()
            event = answers.event_in(text) if b'"event"' in text else None
            if event is None:
                return answers.answer_to(request, self._asked, answers.reply_in(text))
            self._early.append(event)

    async def _next_event(self) -> protocol.Event:
        text = await self._receive()
        try:
            return protocol.read_event(text)
        except ProcrouteError:
            reply = answers.reply_in(text)
            if isinstance(reply, protocol.Error):
                raise ProcrouteError(reply.code, reply.message, reply.hint) from None
            raise

    async def _receive(self) -> bytes:
        """The JSON of the next frame. Raises ProcrouteError daemon-lost, and protocol for a bad size."""
        if self._streams is None:
            raise failures.lost()
        reader = self._streams[0]
        try:
            return await reader.readexactly(size_of(await reader.readexactly(HEAD)))
        except (asyncio.IncompleteReadError, OSError) as e:
            await self.close()
            raise failures.lost() from e
        except ProcrouteError:
            await self.close()
            raise
