"""The life of the holder: one loop, in which nothing waits for anybody.

Each exec is answered: by the daemon, or by `when_down` of its rules ANSWER seconds after it was asked for,
or after the daemon's last answer, if others wait as well: many starts at once take their turns. Should this
process itself be stopped or hang, the kernel ends it (dead_man.py), and then lets go of all that it holds: so
execs go on within a second, whoever does not work.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from procroute.core.hold_rules import HoldRule, HoldRules, unanswered
from procroute.holder import words
from procroute.holder.peer import Peer
from procroute.holder.report import Report
from procroute.kernel.dead_man import DeadMan
from procroute.kernel.exec_files import ExecFiles
from procroute.kernel.exec_hold import Asked, ExecHold, still
from procroute.kernel.executing import Executing, executing

ANSWER: Final = 0.75
_AT_MOST: Final = 5.0
"""So long an exec waits for its turn while the daemon answers others: in seconds."""
_HANGS: Final = 0.12
"""So long after that this process is taken to hang: in seconds."""
_ALIVE: Final = 0.8
"""So long it may say nothing to its dead man's switch while nothing is held."""
_TICK: Final = 0.3
_PIECE: Final = 0.005
"""Seconds for following files, before whoever asks has a turn again."""
_PATIENCE: Final = 10.0
"""Seconds until the first daemon must have come."""
_REMEMBERED: Final = 256
"""Decisions that are kept for the next daemon."""


class _Waiting(NamedTuple):
    """An exec that the daemon was asked about. since: when that was."""

    asked: Asked
    who: Executing
    rules: tuple[HoldRule, ...]
    path: str
    since: float


class Holder:
    """Raises OSError where the kernel has no such hold. listener: where the daemon connects."""

    def __init__(self, listener: socket.socket, report: Report) -> None:
        self._listener = listener
        self._report = report
        self._hold = ExecHold()
        self._files = ExecFiles(self._hold)
        self._rules = HoldRules()
        self._coming: list[HoldRule] = []
        self._daemon: Peer | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._event = 0
        self._number = 0
        self._answered = 0.0
        self._untold: deque[words.Decided] = deque(maxlen=_REMEMBERED)
        self._untold_more = 0
        self._following = False
        own = os.stat("/proc/self/exe")
        self._own = (own.st_dev, own.st_ino)
        self._poll = select.poll()
        self._listener.setblocking(False)
        self._by_descriptor: dict[int, Callable[[int], None]] = {
            self._hold.fileno(): lambda _: self._read(),
            self._listener.fileno(): lambda _: self._accept(),
            self._files.fileno(): lambda _: self._news(),
            self._files.mounts: lambda _: self._files.everything(),
        }
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.POLLIN)
        self._poll.modify(self._files.mounts, select.POLLPRI)

    def live(self) -> None:
        """Until nothing is to be held any more and there is no daemon."""
        switch = DeadMan()
        until = time.monotonic() + _PATIENCE
        while self._daemon is not None or self._rules or self._waiting or time.monotonic() < until:
            switch.arm(self._limit())
            ready = self._poll.poll(self._pause())
            for descriptor, what in ready:
                if (handle := self._by_descriptor.get(descriptor)) is not None:
                    handle(what)
            self._expire()
            self._follow()
            if self._daemon is not None:
                until = 0

    def _pause(self) -> float:
        """Milliseconds."""
        if self._following:
            return 0
        first = next(iter(self._waiting.values()), None)
        return 1000 * (_TICK if first is None else max(0, min(_TICK, self._left(first))))

    def _limit(self) -> float:
        """Seconds after which this process hangs."""
        first = next(iter(self._waiting.values()), None)
        return _ALIVE if first is None else max(0.01, min(_ALIVE, self._left(first) + _HANGS))

    def _left(self, one: _Waiting) -> float:
        """Seconds until an exec is answered without the daemon; who has asked earlier has no more."""
        until = min(max(one.since, self._answered) + ANSWER, one.since + _AT_MOST)
        return until - time.monotonic()

    # --- files

    def _news(self) -> None:
        self._files.hear()
        self._following = True

    def _follow(self) -> None:
        end = time.monotonic() + _PIECE
        while self._files.work():
            self._following = True
            if time.monotonic() > end:
                return
        if self._following:
            self._following = False
            self._tell("holding", number=self._number, files=len(self._files), faults=self._files.faults)

    # --- execs

    def _read(self) -> None:
        try:
            for asked in self._hold.read():
                self._asked(asked)
        except OSError as e:  # no more descriptors: the kernel has denied it
            self._report.say(f"an exec was denied: {e.strerror}")

    def _asked(self, asked: Asked) -> None:
        allow = False
        try:
            verdict = self._judge(asked)
            if verdict is None:
                return
            allow = verdict
        except OSError as e:
            self._report.say(f"PID {asked.pid} was denied: {e}")
        self._hold.answer(asked, allow=allow)

    def _judge(self, asked: Asked) -> bool | None:
        """Whether an exec may go on; None: the daemon is asked. Raises OSError."""
        paths = self._files.paths_of(asked.file)
        if not paths:
            return True
        who = executing(asked.pid) if asked.pid else None
        if asked.pid and (who is None or not still(asked)):
            return True  # it was killed
        rules = self._rules.concerned(paths, who.uids if who else None)
        daemon = self._daemon
        if not rules or (who is not None and daemon is not None and daemon.started(who)):
            return True
        path = os.readlink(f"/proc/self/fd/{asked.file}")
        if who is None:
            return self._decide(Executing(0, 0, 0, (-1, -1)), rules, path, unanswered(rules), "unseen")
        if daemon is None:
            found = os.fstat(asked.file)
            if who.uids == (0, 0) and (found.st_dev, found.st_ino) == self._own:
                return self._decide(who, rules, path, True, "own")
            return self._decide(who, rules, path, unanswered(rules), "no-daemon")
        if daemon.silent:
            return self._decide(who, rules, path, unanswered(rules), "silent")
        self._event += 1
        self._waiting[self._event] = _Waiting(asked, who, rules, path, time.monotonic())
        self._tell("exec", event=self._event, pid=who.pid, began=who.began, paths=sorted(paths), path=path)
        return None

    def _decide(self, who: Executing, rules: tuple[HoldRule, ...], path: str, allow: bool, why: str) -> bool:
        keys = tuple(rule.key for rule in rules)
        decided = words.Decided(who.pid, who.began, keys, path, allow, why, time.time())
        self._report.decided(decided)
        if self._daemon is not None:
            self._tell("decided", **decided._asdict())
        else:
            self._untold_more += len(self._untold) == _REMEMBERED
            self._untold.append(decided)
        return allow

    def _expire(self) -> None:
        """Answer whom the daemon has let wait for too long."""
        for event, one in list(self._waiting.items()):
            if self._left(one) > 0:
                return
            if self._daemon is not None:
                self._daemon.silent = True
            self._give_up(event, "late")

    def _give_up(self, event: int, why: str) -> None:
        one = self._waiting.pop(event)
        allow = unanswered(one.rules)
        self._answer(one.asked, allow)
        self._decide(one.who, one.rules, one.path, allow, why)

    def _answer(self, asked: Asked, allow: bool) -> None:
        try:
            self._hold.answer(asked, allow=allow)
        except OSError as e:
            self._report.say(f"PID {asked.pid} could not be answered: {e}")

    # --- the daemon

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
                rules=len(self._rules),
                untold=self._untold_more,
            )
            self._untold_more = self._number = 0
            while self._untold and self._daemon is not None:
                self._tell("decided", **self._untold.popleft()._asdict())
            self._following = True  # and say what is held

    def _hang_up(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        self._poll.unregister(daemon.fileno())
        del self._by_descriptor[daemon.fileno()]
        daemon.close()
        self._coming.clear()
        for event in list(self._waiting):
            self._give_up(event, "no-daemon")

    def _tell(self, say: str, **what: Any) -> None:
        daemon = self._daemon
        if daemon is None:
            return
        try:
            daemon.tell(say, **what)
        except OSError:
            self._hang_up()
        else:
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
                for heard in daemon.hear():
                    self._heard(heard)
        except (EOFError, ConnectionError):
            self._hang_up()
        except (OSError, ValueError, KeyError, TypeError) as e:
            self._report.say(f"the daemon was not understood: {e!r}")
            self._hang_up()

    def _heard(self, heard: dict[str, Any]) -> None:
        """Raises ValueError, KeyError, TypeError."""
        match heard["say"]:
            case "answer":
                one = self._waiting.pop(heard["event"], None)
                if one is not None:  # or it was answered without
                    self._answered = time.monotonic()
                    self._answer(one.asked, heard["allow"] is True)
            case "hold":
                self._coming += words.rules_of(heard)
                if not heard["more"]:
                    self._number = int(heard["number"])
                    self._rules = HoldRules(self._coming)
                    self._coming = []
                    self._files.follow(self._rules.paths)
                    self._following = True
