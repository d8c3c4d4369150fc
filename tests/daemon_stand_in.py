"""A stand-in for procrouted: says what a test tells it to, on a real socket, in a thread of its own.

with StandIn(folder, lambda request: protocol.Assignments(assignments=[])) as daemon:
    Client(daemon.path).ask(protocol.Ps())
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec.structs import replace

from procroute import protocol

Said = protocol.Reply | protocol.Event | bytes | None
"""A message; or bytes that are sent as they are; or None: it hangs up."""
Answer = Callable[[protocol.Request], Said | list[Any]]


class StandIn:
    """Listens at `path`; `asked` are the requests that came. piece: so many bytes are sent at a time, 0: all.

    Whatever its answers have as an id, they get that of the request, but for bytes. callers: the PIDs
    that the kernel names. every: so many seconds, to who watches, one more of these events.
    """

    def __init__(
        self,
        folder: Path,
        answer: Answer,
        piece: int = 0,
        every: float = 0,
        events: Callable[[int], protocol.Event] | None = None,
    ) -> None:
        self.path = str(folder / "procroute.sock")
        self.asked: list[protocol.Request] = []
        self.callers: list[int] = []
        self._answer = answer
        self._piece = piece
        self._every, self._events = every, events
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Future[None]] = set()
        server = await asyncio.start_unix_server(self._attend, self.path)
        self._ready.set()
        await self._over.wait()
        await asyncio.sleep(0.02)  # a server that is closed loses track of callers whom it has just taken in
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.callers.append(struct.unpack("3i", peer)[0])
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
                await self._talk(reader, writer)
        finally:
            writer.close()
            self._closing.add(asyncio.ensure_future(writer.wait_closed()))
            self._tasks.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (size,) = protocol.LENGTH.unpack(await reader.readexactly(protocol.LENGTH.size))
            request = protocol.read_request(await reader.readexactly(size))
            self.asked.append(request)
            said = self._answer(request)
            messages: list[Said] = said if isinstance(said, list) else [said]
            for message in messages:
                if message is None:
                    return
                await self._send(writer, _as_bytes(message, request.id))
            if isinstance(request, protocol.Watch) and self._events is not None:
                await self._tell(writer, self._events)

    async def _tell(self, writer: asyncio.StreamWriter, events: Callable[[int], protocol.Event]) -> None:
        for number in itertools.count():
            await self._send(writer, _as_bytes(events(number), 0))
            await asyncio.sleep(self._every)

    async def _send(self, writer: asyncio.StreamWriter, text: bytes) -> None:
        step = self._piece or len(text) or 1
        for at in range(0, len(text), step):
            writer.write(text[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)


def _as_bytes(message: protocol.Reply | protocol.Event | bytes, asked: int) -> bytes:
    if isinstance(message, bytes):
        return message
    return protocol.frame(replace(message, id=asked) if isinstance(message, protocol.Reply) else message)
