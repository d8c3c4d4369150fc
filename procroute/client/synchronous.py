"""A client that waits for each answer."""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self, overload

from msgspec.structs import replace

from procroute import protocol
from procroute.client import answers
from procroute.client.connection import HEAD, TIMEOUT, Connection, framed
from procroute.errors import ProcrouteError


class Client:
    """A connection to the daemon, for one thread at a time.

    path: the socket, if not the usual one. timeout: seconds that connecting and each answer may take.
    Raises ProcrouteError daemon-missing and not-permitted.
    """

    def __init__(self, path: str | None = None, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._connection = Connection(path, timeout)
        self._asked = 0
        self._early: deque[protocol.Event] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. What was assigned stays so."""
        self._connection.close()

    @overload
    def ask(self, request: protocol.Run) -> protocol.Placed: ...
    @overload
    def ask(self, request: protocol.Open) -> protocol.Opened: ...
    @overload
    def ask(self, request: protocol.Assign) -> protocol.Assigned: ...
    @overload
    def ask(self, request: protocol.Release) -> protocol.Released: ...
    @overload
    def ask(self, request: protocol.Ps) -> protocol.Assignments: ...
    @overload
    def ask(self, request: protocol.Adapters) -> protocol.AdapterList: ...
    @overload
    def ask(self, request: protocol.Inspect) -> protocol.Inspected: ...
    @overload
    def ask(self, request: protocol.Explain) -> protocol.Explained: ...
    @overload
    def ask(self, request: protocol.Rules) -> protocol.RuleList: ...
    @overload
    def ask(self, request: protocol.TryRules) -> protocol.Tried: ...
    @overload
    def ask(self, request: protocol.MatchRule) -> protocol.Matched: ...
    @overload
    def ask(self, request: protocol.ApplyRules) -> protocol.Applied: ...
    @overload
    def ask(self, request: protocol.AddRule) -> protocol.Edited: ...
    @overload
    def ask(self, request: protocol.EditRule) -> protocol.Edited: ...
    @overload
    def ask(self, request: protocol.Reload) -> protocol.Reloaded: ...
    @overload
    def ask(self, request: protocol.Watch) -> protocol.Watching: ...

    def ask(self, request: protocol.Request) -> protocol.Reply:
        """The answer to a request, whose id is chosen here.

        Raises ProcrouteError: what the daemon says is wrong; daemon-silent, daemon-lost, frame-too-large,
        protocol, protocol-version. After daemon-silent and daemon-lost the client is of no more use.
        """
        self._asked += 1
        self._connection.send(framed(protocol.frame(replace(request, id=self._asked))[HEAD:]))
        while True:
            text = self._connection.receive(self._timeout)
            event = answers.event_in(text) if b'"event"' in text else None
            if event is None:
                return answers.answer_to(request, self._asked, answers.reply_in(text))
            self._early.append(event)

    def events(self, output: int | None = None) -> Iterator[protocol.Event]:
        """What happens, from the answer to Watch on, for as long as it takes.

        output: a descriptor to which it is told on; that nobody reads there any more is noticed at once.
        It ends after Lost. Raises ProcrouteError daemon-lost when the daemon ends, and protocol;
        BrokenPipeError.
        """
        while True:
            if output is not None and not self._early and not self._connection.has_frame():
                self._wait(output)
            event = self._early.popleft() if self._early else self._next_event()
            yield event
            if isinstance(event, protocol.Lost):
                return

    def _wait(self, output: int) -> None:
        """Until the daemon says something. Raises BrokenPipeError as soon as the other end is closed."""
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        poll.register(output, 0)  # POLLERR and POLLHUP are always told (poll(2))
        if any(descriptor == output for descriptor, _ in poll.poll()):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def _next_event(self) -> protocol.Event:
        text = self._connection.receive(None)
        try:
            return protocol.read_event(text)
        except ProcrouteError:
            reply = answers.reply_in(text)  # the daemon says why it hangs up
            if isinstance(reply, protocol.Error):
                raise ProcrouteError(reply.code, reply.message, reply.hint) from None
            raise
