"""The daemon's Unix socket: frames in, frames out. Nobody's slowness costs anybody else anything.

A client has one request in hand at a time: the next one is read when the answer was taken. So what is kept
for it is one request and one answer, or, for who watches, so many events.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec.structs import replace

from procroute import protocol
from procroute.core.access import Peer
from procroute.daemon.listening import Listening
from procroute.daemon.watchers import Watcher, Watchers
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel.process_facts import peer
from procroute.places import SOCKET
from procroute.protocol import REPLY_LIMIT

_CLIENTS: Final = 1024
_OF_ONE_USER: Final = 256
_ENDINGS_OF_ONE_USER: Final = 32
"""So many may wait for the end of what they run; the next one is not told, since others have to be served."""
_SECONDS: Final = 10.0
"""So long a frame that was begun may take, in either direction."""

Answer = Callable[[Peer, protocol.Request], Awaitable[protocol.Reply]]


class Feeding(Protocol):
    """What tells who watches more than assignments."""

    async def join(self, watcher: Watcher) -> list[protocol.Running]:
        """Feed it from now on; the processes that there are. Raises OSError and ProcrouteError."""

    def leave(self, watcher: Watcher) -> None:
        """Feed it no longer."""


class Server:
    """Takes requests, has them answered, gives events to who watches.

    answer: makes the reply to a request, to watch without processes; raises ProcrouteError. name_of: a uid's
    user name.
    """

    def __init__(
        self,
        answer: Answer,
        name_of: Callable[[int], str],
        tell: Tell,
        path: Path = Path(SOCKET),
        feed: Feeding | None = None,
    ) -> None:
        self._answer = answer
        self._feed = feed
        self._name_of = name_of
        self._tell = tell
        self._listening = Listening(path, tell)
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._watching = Watchers()
        self._ends: dict[asyncio.Queue[protocol.Removed], int] = {}

    async def start(self) -> None:
        """Listen. Raises OSError."""
        listening = self._listening.open()
        # Its file is ours to take away, or systemd's to keep.
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await asyncio.start_unix_server(
            self._accepted, sock=listening, limit=1 << 16, backlog=_CLIENTS, **keep
        )
        self._listening.show()

    async def stop(self) -> None:
        """Listen no longer; what is being answered is dropped."""
        self._listening.hide()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def say(self, event: protocol.Event) -> None:
        """Give an event to all that watch; who reads too slowly is told so, and gets no more."""
        self._watching.say(event)
        if isinstance(event, protocol.Removed):
            for ends in self._ends:
                ends.put_nowait(event)

    def regroup(self) -> list[str]:
        """Look again who is to ask; what has changed, in words. From any thread. Raises OSError."""
        return self._listening.regroup()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            pid, uid, began = peer(writer.get_extra_info("socket"))
            mine = sum(u == uid for u in self._tasks.values())
            if len(self._tasks) >= _CLIENTS or (uid != 0 and mine >= _OF_ONE_USER):
                await _send(writer, _refusal("busy", "too many clients at once", "try again"))
                return
            self._tasks[task] = uid
            # What is sent has been taken by the kernel: when we hang up nothing of it is dropped.
            writer.transport.set_write_buffer_limits(0)
            await self._serve(reader, writer, Peer(uid, pid, self._name_of(uid), began))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it has gone, or does not read or write on
        except OSError as e:
            self._tell(f"a client was not served: {e!r}")
            with contextlib.suppress(OSError):
                await _send(writer, _refusal("system", f"the daemon cannot serve this client: {e}"))
        finally:
            self._tasks.pop(task, None)
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: Peer) -> None:
        while True:
            head = await reader.read(1)
            if not head:
                return
            async with asyncio.timeout(_SECONDS):
                head += await reader.readexactly(protocol.LENGTH.size - 1)
                (length,) = protocol.LENGTH.unpack(head)
                if length > protocol.REQUEST_LIMIT:
                    text = f"a request of {length} bytes; {protocol.REQUEST_LIMIT} are allowed"
                    await _send(writer, _refusal("protocol", text, "ask in several requests"))
                    return
                body = await reader.readexactly(length)
            try:
                request = protocol.read_request(body)
            except ProcrouteError as e:
                number = protocol.asked_id(body)[0]
                await _send(writer, _refusal(e.code, e.message, e.hint, number))
                continue
            if isinstance(request, protocol.Run) and request.ending:
                await self._run(reader, writer, who, request)
                return
            if isinstance(request, protocol.Watch):
                await self._watch(reader, writer, who, request)
                return
            await _send(writer, await self._reply(who, request))

    async def _reply(self, who: Peer, request: protocol.Request) -> protocol.Reply:
        try:
            return replace(await self._answer(who, request), id=request.id)
        except ProcrouteError as e:
            return _refusal(e.code, e.message, e.hint, request.id)

    async def _run(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: Peer, request: protocol.Run
    ) -> None:
        """The answer, and when what it placed has ended one event, unless it hangs up or says anything."""
        ends: asyncio.Queue[protocol.Removed] = asyncio.Queue()
        waiting = sum(uid == who.uid for uid in self._ends.values())
        # Before the answer is made: it may have ended by then.
        self._ends[ends] = who.uid
        gone = asyncio.ensure_future(reader.read(1))
        end: asyncio.Future[protocol.Removed] | None = None
        try:
            reply = await self._reply(who, request)
            await _send(writer, reply)
            if isinstance(reply, protocol.Placed) and waiting < _ENDINGS_OF_ONE_USER:
                end = asyncio.ensure_future(_end_of(reply.assignment.id, ends))
                await asyncio.wait({end, gone}, return_when=asyncio.FIRST_COMPLETED)
                if end.done():
                    await _send(writer, end.result())
        finally:
            del self._ends[ends]
            if end is not None:
                end.cancel()
            gone.cancel()
            gone.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _watch(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: Peer, request: protocol.Watch
    ) -> None:
        """Events from now on, until it hangs up or says anything."""
        watcher = Watcher(who, request)
        # Before the answer is made: what happens meanwhile comes after it.
        self._watching.add(watcher)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            reply = await self._begin(watcher)
            await _send(writer, reply)
            while isinstance(reply, protocol.Watching):
                event = asyncio.ensure_future(watcher.next())
                await asyncio.wait({event, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not event.done():
                    event.cancel()
                    return
                await _send(writer, event.result())
                if isinstance(event.result(), protocol.Lost):
                    return
        finally:
            self._watching.remove(watcher)
            if self._feed is not None:
                self._feed.leave(watcher)
            gone.cancel()
            gone.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _begin(self, watcher: Watcher) -> protocol.Reply:
        reply = await self._reply(watcher.who, watcher.asked)
        if isinstance(reply, protocol.Watching) and self._feed is not None:
            try:
                reply = replace(reply, processes=await self._feed.join(watcher))
            except (OSError, ProcrouteError) as e:
                return _refusal("system", f"processes cannot be watched: {e}", number=reply.id)
        return reply


async def _end_of(number: int, ends: asyncio.Queue[protocol.Removed]) -> protocol.Removed:
    """The event that tells of the end of that assignment."""
    while (event := await ends.get()).assignment.id != number:
        pass
    return event


async def _send(writer: asyncio.StreamWriter, message: protocol.Reply | protocol.Event) -> None:
    frame = protocol.frame(message)
    if (length := len(frame) - protocol.LENGTH.size) > REPLY_LIMIT and isinstance(message, protocol.Reply):
        text = f"the answer has {length} bytes; a client takes {REPLY_LIMIT}"
        frame = protocol.frame(_refusal("protocol", text, "ask for less", message.id))
    writer.write(frame)
    async with asyncio.timeout(_SECONDS):
        await writer.drain()


def _refusal(code: str, message: str, hint: str = "", number: int = 0) -> protocol.Error:
    return protocol.Error(id=number, code=code, message=message, hint=hint)
