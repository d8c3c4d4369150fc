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
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from procroute.core.hold_rules import HoldRule, HoldRules, unanswered
from procroute.holder import words
from procroute.holder.decisions import Decisions
from procroute.holder.gate import Gate, Gates
from procroute.holder.peer import Peer
from procroute.holder.report import Report
from procroute.holder.waiting import OneExec, Waiting
from procroute.kernel.dead_man import DeadMan
from procroute.kernel.exec_hold import Asked, still
from procroute.kernel.executing import Executing, executing, program
from procroute.kernel.set_ids import KEPT, set_ids

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
        self._rules = HoldRules()
        self._coming: list[HoldRule] = []
        self._daemon: Peer | None = None
        self._waiting = Waiting()
        self._decisions = Decisions(report)
        self._event = 0
        self._number = 0
        self._following = False
        own = os.stat("/proc/self/exe")
        self._own = (own.st_dev, own.st_ino)
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
        while self._daemon is not None or self._rules or self._waiting or time.monotonic() < until:
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
        if due := self._waiting.due():
            if self._daemon is not None:
                self._daemon.silent = True
            self._give_up(due, "late")
        left = self._waiting.left()
        switch.arm(_ALIVE if left is None else min(_ALIVE, max(0, left) + _HANGS))

    def _pause(self) -> float:
        """Milliseconds."""
        if self._decisions.left(self._hears()) or self._may_follow():
            return 0
        left = self._waiting.left()
        return 1000 * (_TICK if left is None else max(0, min(_TICK, left)))

    # --- files

    def _news(self, gate: Gate, _: int) -> None:
        gate.files.hear()
        self._following = True

    def _mounted(self, gate: Gate, _: int) -> None:
        gate.files.everything()
        self._following = True

    def _may_follow(self) -> bool:
        left = self._waiting.left()
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
        try:
            for asked in gate.hold.read():
                self._asked(gate, asked)
        except OSError as e:  # no more descriptors: the kernel has denied it
            self._report.say(f"an exec was denied: {e.strerror}")

    def _asked(self, gate: Gate, asked: Asked) -> None:
        allow = gate.opens  # who opens a library may be process 1 itself
        try:
            verdict = self._judge(gate, asked)
            if verdict is None:
                return
            allow = verdict
        except OSError as e:
            self._report.say(f"PID {asked.pid} was {'allowed' if allow else 'denied'}: {e}")
        gate.hold.answer(asked, allow=allow)

    def _judge(self, gate: Gate, asked: Asked) -> bool | None:
        """Whether an exec may go on; None: the daemon is asked. Raises OSError."""
        paths = gate.files.paths_of(asked.file)
        if not paths:
            return True
        who = executing(asked.pid) if asked.pid else None
        if asked.pid and (who is None or not still(asked)):
            return True  # it was killed
        by = program(asked.pid) if gate.opens else ""
        if gate.opens and not by:
            return True  # of a namespace that is not seen from here, so by none of these programs
        uid, gid = set_ids(asked.file, who.pid) if who is not None and not gate.opens else (KEPT, KEPT)
        uids = who and (who.uids[0], who.uids[1] if uid == KEPT else uid)
        rules = self._rules.concerned(paths, uids, by)
        daemon = self._daemon
        if not rules or (who is not None and daemon is not None and daemon.started(who)):
            return True
        path = by or os.readlink(f"/proc/self/fd/{asked.file}")
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
        self._waiting.add(self._event, OneExec(gate.hold, asked, who, rules, path, time.monotonic()))
        words = {"event": self._event, "pid": who.pid, "began": who.began, "uid": uid, "gid": gid}
        self._tell("exec", **words, paths=sorted(paths), path=path)
        return None

    def _decide(self, who: Executing, rules: tuple[HoldRule, ...], path: str, allow: bool, why: str) -> bool:
        keys = tuple(rule.key for rule in rules)
        self._decisions.add(words.Decided(who.pid, who.began, keys, path, allow, why, time.time()))
        return allow

    def _give_up(self, execs: Sequence[OneExec], why: str) -> None:
        for one in execs:
            self._answer(one, unanswered(one.rules))
        for one in execs:
            self._decide(one.who, one.rules, one.path, unanswered(one.rules), why)

    def _answer(self, one: OneExec, allow: bool) -> None:
        try:
            one.hold.answer(one.asked, allow=allow)
        except OSError as e:
            self._report.say(f"PID {one.asked.pid} could not be answered: {e}")

    # --- the daemon

    def _hears(self) -> bool:
        return self._daemon is not None and not self._daemon.behind

    def _say(self) -> None:
        """What was decided, as long as that may take at a time."""
        end = time.monotonic() + _PIECE
        while self._decisions.left(self._hears()) and time.monotonic() < end:
            if (one := self._decisions.next(self._hears())) is not None:
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
                rules=len(self._rules),
                untold=self._decisions.untold,
            )
            self._decisions.untold = self._number = 0
            self._following = True  # and say what is held

    def _hang_up(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        self._poll.unregister(daemon.fileno())
        del self._by_descriptor[daemon.fileno()]
        daemon.close()
        self._coming.clear()
        self._give_up(self._waiting.everybody(), "no-daemon")

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
            self._report.say(f"the daemon was not understood: {e!r}")
            self._hang_up()

    def _heard(self, heard: dict[str, Any]) -> None:
        """Raises ValueError, KeyError, TypeError."""
        match heard["say"]:
            case "answer":
                if (one := self._waiting.answered(heard["event"])) is not None:
                    self._answer(one, heard["allow"] is True)
            case "busy":
                self._waiting.busy(heard["events"])
            case "hold":
                self._coming += words.rules_of(heard)
                if not heard["more"]:
                    self._number = int(heard["number"])
                    self._rules = HoldRules(self._coming)
                    self._coming = []
                    for gate in self._gates:
                        gate.follow(self._rules)
                    self._following = True
