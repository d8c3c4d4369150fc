"""What the holder says on stderr, which is the daemon's, a line each; to the journal as the daemon does."""

from __future__ import annotations

import contextlib
import select
import time
from typing import Final

from procroute.holder.words import Decided
from procroute.kernel import journal
from procroute.terminal import printable
from procroute.told import NOTICE, WARNING, told

_STDERR: Final = 2
_MOST: Final = 20
"""Lines a second: who executes in a loop is not to fill the journal."""
_WHY: Final = {
    "no-daemon": "no daemon runs",
    "silent": "the daemon does not answer",
    "late": "the daemon has not answered in time",
    "unseen": "its process is in a pid namespace that is not seen from here",
    "own": "it is the daemon's own program, and none runs",
}


class Report:
    """Nobody waits for who reads it: a line for which there is no room is lost."""

    def __init__(self) -> None:
        self._second = 0
        self._lines = 0
        self._poll = select.poll()
        self._poll.register(_STDERR, select.POLLOUT)

    def decided(self, one: Decided) -> None:
        """An exec was decided without the daemon."""
        what = "allowed" if one.allow else "denied"
        who = f"PID {one.pid}" if one.pid else "a process"
        rules = printable(", ".join(one.keys))
        line = f"{who}: {printable(one.path)} was {what} ({rules}): {_WHY.get(one.why, one.why)}"
        level = NOTICE if one.why == "own" else WARNING
        self.say(told(line, level, pid=one.pid or None, rule=rules))

    def say(self, line: str) -> None:
        """A line (told.py)."""
        second = int(time.monotonic())
        if second != self._second:
            left, self._second, self._lines = self._lines - _MOST, second, 0
            if left > 0:
                self._write(f"and {left} lines more")
        self._lines += 1
        if self._lines <= _MOST:
            self._write(line)

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):
            if any(what & select.POLLOUT for _, what in self._poll.poll(0)):
                journal.write(_STDERR, "procroute-hold", line)
