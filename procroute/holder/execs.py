"""What becomes of the execs that are held: allowed, denied, or the daemon's to decide."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from procroute.core.hold_rules import HoldRule, HoldRules, unanswered
from procroute.holder import words
from procroute.holder.decisions import Decisions
from procroute.holder.gate import Gate
from procroute.holder.peer import Peer
from procroute.holder.report import Report
from procroute.holder.waiting import OneExec, Waiting
from procroute.kernel.exec_hold import Asked, still
from procroute.kernel.executing import Executing, executing, program
from procroute.kernel.set_ids import KEPT, set_ids
from procroute.told import WARNING, told


class Execs:
    """rules: by which they are judged; waiting: those that the daemon was asked about; decisions: what was
    decided without it. ask: asks it, by the words of an `exec`."""

    def __init__(self, report: Report, ask: Callable[..., None]) -> None:
        self.rules = HoldRules()
        self.waiting = Waiting()
        self.decisions = Decisions(report)
        self._report = report
        self._ask = ask
        self._event = 0
        own = os.stat("/proc/self/exe")
        self._own = (own.st_dev, own.st_ino)

    @property
    def busy(self) -> bool:
        """Whether something is to be held, or somebody is."""
        return bool(self.rules or self.waiting)

    def read(self, gate: Gate, daemon: Peer | None) -> None:
        """Answer who is held there, or ask the daemon, which then answers by its event."""
        try:
            for asked in gate.hold.read():
                self._asked(gate, asked, daemon)
        except OSError as e:  # no more descriptors: the kernel has denied it
            self._report.say(f"an exec was denied: {e.strerror}")

    def give_up(self, execs: Sequence[OneExec], why: str) -> None:
        """Answer these as their rules say, and remember it. why: as it is told of them."""
        for one in execs:
            self.answer(one, unanswered(one.rules))
        for one in execs:
            self._decide(one.who, one.rules, one.path, unanswered(one.rules), why)

    def answer(self, one: OneExec, allow: bool) -> None:
        """Answer one of them; where that fails, it is told."""
        try:
            one.hold.answer(one.asked, allow=allow)
        except OSError as e:
            line = f"PID {one.asked.pid} could not be answered: {e}"
            self._report.say(told(line, WARNING, pid=one.asked.pid))

    def _asked(self, gate: Gate, asked: Asked, daemon: Peer | None) -> None:
        allow = gate.opens  # who opens a library may be process 1 itself
        try:
            verdict = self._judge(gate, asked, daemon)
            if verdict is None:
                return
            allow = verdict
        except OSError as e:
            line = f"PID {asked.pid} was {'allowed' if allow else 'denied'}: {e}"
            self._report.say(told(line, WARNING, pid=asked.pid))
        gate.hold.answer(asked, allow=allow)

    def _judge(self, gate: Gate, asked: Asked, daemon: Peer | None) -> bool | None:
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
        rules = self.rules.concerned(paths, uids, by)
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
        self.waiting.add(self._event, OneExec(gate.hold, asked, who, rules, path, time.monotonic()))
        facts = {"event": self._event, "pid": who.pid, "began": who.began, "uid": uid, "gid": gid}
        self._ask(**facts, paths=sorted(paths), path=path)
        return None

    def _decide(self, who: Executing, rules: tuple[HoldRule, ...], path: str, allow: bool, why: str) -> bool:
        keys = tuple(rule.key for rule in rules)
        self.decisions.add(words.Decided(who.pid, who.began, keys, path, allow, why, time.time()))
        return allow
