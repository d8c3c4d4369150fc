"""The way to the daemon: what it tells, for as long as it takes, and what it is asked meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol, cast

from procroute import protocol
from procroute.client import AsyncClient
from procroute.errors import ProcrouteError

_AGAIN, _AGAIN_AT_MOST = 0.25, 2.0
"""Seconds until the next attempt, twice as long each time."""
_PERIOD: Final = 1.0
"""Seconds between two tellings of what was carried."""
_PATIENCE: Final = 60.0
"""Seconds that a change may take: resetting thousands of connections does."""


class Gone:
    """The daemon does not speak any more, or refuses to; it is tried again."""

    def __init__(self, error: ProcrouteError) -> None:
        self.error = error


class Daemon(Protocol):
    """What the application needs of a daemon; tests have one of their own."""

    def told(self) -> AsyncIterator[protocol.Watching | protocol.Event | Gone]:
        """What there is and what happens, anew after each loss."""
        ...

    async def ask(self, request: protocol.Request) -> Any:
        """The reply to a question that changes nothing. Raises ProcrouteError."""
        ...

    async def change(self, request: protocol.Request) -> Any:
        """The reply to a change, which may take long. Raises ProcrouteError."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Link:
    """Three connections: one that only listens, one for questions and one for changes."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._questions = _Line(path)
        self._changes = _Line(path)

    async def told(self) -> AsyncIterator[protocol.Watching | protocol.Event | Gone]:
        """As Daemon has it."""
        pause = _AGAIN
        while True:
            try:
                async with AsyncClient(self._path) as client:
                    yield await client.ask(protocol.Watch(processes=True, traffic=_PERIOD))
                    pause = _AGAIN
                    async for event in client.events():
                        yield event  # after Lost they end, and what there is comes anew
            except ProcrouteError as e:
                yield Gone(e)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _AGAIN_AT_MOST)

    async def ask(self, request: protocol.Request) -> Any:
        """As Daemon has it."""
        return await self._questions.ask(request)

    async def change(self, request: protocol.Request) -> Any:
        """As Daemon has it."""
        return await self._changes.ask(request)

    async def close(self) -> None:
        """As Daemon has it."""
        await self._questions.close()
        await self._changes.close()


class _Line:
    """A connection that is made when it is needed, and anew after an error of its own."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._client: AsyncClient | None = None
        self._turn = asyncio.Lock()

    async def ask(self, request: protocol.Request) -> Any:
        async with self._turn:
            if self._client is None:
                client = AsyncClient(self._path, _PATIENCE)
                await client.__aenter__()
                self._client = client
            try:
                return await cast("Any", self._client).ask(request)
            except ProcrouteError as e:
                if e.code.startswith(("daemon-", "protocol")):
                    await self.close()
                raise
            except asyncio.CancelledError:  # the client has hung up: the answer would be taken for the next
                self._client = None
                raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError):
                await client.close()
