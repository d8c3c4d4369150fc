"""The life of the holder: one loop, in which nothing waits for anybody.

Each exec is answered: by the daemon, or by `when_down` of its rules when it has waited for too long
(waiting.py). So is who is held as he opens a file. Should this process itself be stopped or hang, the kernel
ends it (dead_man.py), and then lets go of all that it holds: so execs go on within a second, whoever does not
work.

As the kernel allows what it lets go of, whoever is due is answered before anything else is done, and nothing
here takes long at a time: what there is much of is done in pieces.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from procroute.core.hold_rules import HoldRule, HoldRules
from procroute.holder import words
from procroute.holder.execs import Execs
from procroute.holder.gate import Gate, Gates
from procroute.holder.peer import Peer
from procroute.holder.report import Report
from procroute.kernel.dead_man import DeadMan
from procroute.told import ERROR, told

_HANGS: Final = 0.12
"""So long after somebody is due this process is taken to hang: in seconds."""
_ALIVE: Final = 0.8
"""So long it may say nothing to its dead man's switch while nothing is held."""
_TICK: Final = 0.3
_PIECE: Final = 0.005
"""Seconds for hearing the daemon, telling it, or following files, before whoever asks has a turn again."""
_NEAR: Final = 0.3
"""No file is followed while somebody is due in so many seconds: one path may take as long."""
_PATIENCE: Final = 10.0
"""Seconds until the first daemon must have come."""


class Holder:
    """Raises OSError where the kernel has no such hold. listener: where the daemon connects."""

    def __init__(self, listener: socket.socket, report: Report) -> None:
        self._listener = listener
        self._report = report
        self._gates = Gates()
        self._coming: list[HoldRule] = []
        self._daemon: Peer | None = None
        self._execs = Execs(report, partial(self._tell, "exec"))
        self._number = 0
        self._following = False
        self._poll = select.poll()
        self._listener.setblocking(False)
        self._by_descriptor: dict[int, Callable[[int], None]] = {
            self._listener.fileno(): lambda _: self._accept()
        }
        for gate in self._gates:
            self._by_descriptor[gate.hold.fileno()] = partial(self._read, gate)
            self._by_descriptor[gate.files.fileno()] = partial(self._news, gate)
            self._by_descriptor[gate.files.mounts] = partial(self._mounted, gate)
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.POLLIN)
        for gate in self._gates:
            self._poll.modify(gate.files.mounts, select.POLLPRI)

    def live(self) -> None:
        """Until nothing is to be held any more and there is no daemon."""
        switch = DeadMan()
        until = time.monotonic() + _PATIENCE
        while self._daemon is not None or self._execs.busy or time.monotonic() < until:
            self._in_time(switch)
            for descriptor, what in self._poll.poll(self._pause()):
                if (handle := self._by_descriptor.get(descriptor)) is not None:
                    handle(what)
                self._in_time(switch)
            self._in_time(switch)
            self._say()
            self._follow()
            if self._daemon is not None:
                until = 0

    def _in_time(self, switch: DeadMan) -> None:
        """Answer whom the daemon has let wait for too long; so this process does not hang."""
        if due := self._execs.waiting.due():
            if self._daemon is not None:
                self._daemon.silent = True
            self._execs.give_up(due, "late")
        left = self._execs.waiting.left()
        switch.arm(_ALIVE if left is None else min(_ALIVE, max(0, left) + _HANGS))

    def _pause(self) -> float:
        """Milliseconds."""
        if self._execs.decisions.left(self._hears()) or self._may_follow():
            return 0
        left = self._execs.waiting.left()
        return 1000 * (_TICK if left is None else max(0, min(_TICK, left)))

    # --- files

    def _news(self, gate: Gate, _: int) -> None:
        gate.files.hear()
        self._following = True

    def _mounted(self, gate: Gate, _: int) -> None:
        gate.files.everything()
        self._following = True

    def _may_follow(self) -> bool:
        left = self._execs.waiting.left()
        return self._following and (left is None or left > _NEAR)

    def _follow(self) -> None:
        if not self._may_follow():
            return
        end = time.monotonic() + _PIECE
        while self._gates.work():
            if time.monotonic() > end:
                return
        self._following = False
        files, faults = len(self._gates), self._gates.faults
        self._tell("holding", number=self._number, files=files, faults=faults)

    # --- execs

    def _read(self, gate: Gate, _: int) -> None:
        self._execs.read(gate, self._daemon)

    # --- the daemon

    def _hears(self) -> bool:
        return self._daemon is not None and not self._daemon.behind

    def _say(self) -> None:
        """What was decided, as long as that may take at a time."""
        end = time.monotonic() + _PIECE
        while self._execs.decisions.left(self._hears()) and time.monotonic() < end:
            if (one := self._execs.decisions.next(self._hears())) is not None:
                self._tell("decided", **one._asdict())

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            new = Peer(connection)
            if new.uid != 0:
                new.close()
                return
            self._hang_up()
            self._daemon = new
            self._poll.register(new.fileno(), select.POLLIN)
            self._by_descriptor[new.fileno()] = self._hear
            self._tell(
                "hello",
                version=words.VERSION,
                pid=os.getpid(),
                rules=len(self._execs.rules),
                untold=self._execs.decisions.untold,
            )
            self._execs.decisions.untold = self._number = 0
            self._following = True  # and say what is held

    def _hang_up(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        self._poll.unregister(daemon.fileno())
        del self._by_descriptor[daemon.fileno()]
        daemon.close()
        self._coming.clear()
        self._execs.give_up(self._execs.waiting.everybody(), "no-daemon")

    def _tell(self, say: str, **what: Any) -> None:
        daemon = self._daemon
        if daemon is None:
            return
        daemon.tell(say, **what)
        self._poll.modify(daemon.fileno(), select.POLLIN | (select.POLLOUT if daemon.behind else 0))

    def _hear(self, what: int) -> None:
        daemon = self._daemon
        if daemon is None:
            return
        try:
            if what & select.POLLOUT:
                daemon.send()
                if not daemon.behind:
                    self._poll.modify(daemon.fileno(), select.POLLIN)
            if what & ~select.POLLOUT:
                end = time.monotonic() + _PIECE
                for heard in daemon.hear():
                    self._heard(heard)
                    if time.monotonic() > end:
                        return
        except (EOFError, ConnectionError):
            self._hang_up()
        except (OSError, ValueError, KeyError, TypeError) as e:
            self._report.say(told(f"the daemon was not understood: {e!r}", ERROR))
            self._hang_up()

    def _heard(self, heard: dict[str, Any]) -> None:
        """Raises ValueError, KeyError, TypeError."""
        match heard["say"]:
            case "answer":
                if (one := self._execs.waiting.answered(heard["event"])) is not None:
                    self._execs.answer(one, heard["allow"] is True)
            case "busy":
                self._execs.waiting.busy(heard["events"])
            case "hold":
                self._coming += words.rules_of(heard)
                if not heard["more"]:
                    self._number = int(heard["number"])
                    self._execs.rules = HoldRules(self._coming)
                    self._coming = []
                    for gate in self._gates:
                        gate.follow(self._execs.rules)
                    self._following = True
