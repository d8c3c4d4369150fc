"""A keeper in a lab's machine, and what it tells.

with Lab(main="both") as lab, routed(lab) as command, keeper(lab) as keeping:
    command.freeze()  # its own engine: from here on the keeper alone repairs
    delete_our_rules(lab)
    assert keeping.repair().who.startswith("ip")
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT

_PROGRAM: Final = str(Path(__file__).with_name("keeping.py"))


@dataclass(frozen=True, slots=True)
class Repair:
    """What the daemon would tell of."""

    what: list[str]
    who: str
    ms: float


class Keeping:
    """A running keeper. said: its lines; repairs: all that it has told."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[str] = []
        self.repairs: list[Repair] = []
        self.tid = 0
        self._new: queue.Queue[Repair] = queue.Queue()
        self._done: queue.Queue[dict[str, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.tid = self._done.get(timeout=10 * FACTOR)["tid"]

    @property
    def pid(self) -> int:
        """As the host counts."""
        return self.process.command_pid()

    def repair(self, seconds: float = 5) -> Repair:
        """The next one. AssertionError when none comes."""
        try:
            return self._new.get(timeout=seconds * FACTOR)
        except queue.Empty:
            raise AssertionError(f"no repair was told of; it said {self.said}") from None

    def forget(self) -> None:
        """Those that nobody has asked for."""
        while not self._new.empty():
            self._new.get()

    def ask(self, word: str) -> float:
        """Have it do something; the seconds that took."""
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return float(self._done.get(timeout=10 * FACTOR)["seconds"])

    def freeze(self) -> None:
        """It sees and does nothing until it is thawed."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in (self.pid, self.process.pid):  # nsenter(1) stops with its child
            os.kill(pid, signal.SIGCONT)

    def status(self, name: str) -> str:
        """A line of the status of its thread (proc(5))."""
        lines = Path(f"/proc/{self.pid}/task").glob("*/status")
        for text in (line.read_text() for line in lines):
            fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            if fields["NSpid"].split()[-1] == str(self.tid):
                return fields[name].strip()
        raise AssertionError("the thread has ended")

    def close(self) -> None:
        """It has ended."""
        self._thread.join(10 * FACTOR)
        assert self.process.stdout
        self.process.stdout.close()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            told = json.loads(line)
            if "said" in told:
                self.said.append(told["said"])
            elif "done" in told:
                self._done.put(told)
            else:
                found = Repair(told["what"], told.get("who", ""), told.get("ms", 0))
                self.repairs.append(found)
                self._new.put(found)


@contextlib.contextmanager
def keeper(lab: Lab, *words: str) -> Iterator[Keeping]:
    """A keeper that listens; it must end well and soon."""
    pipe = subprocess.PIPE
    process = lab.popen([sys.executable, _PROGRAM, *words], env=ENVIRONMENT, stdin=pipe, stdout=pipe)
    running = Keeping(process)
    try:
        yield running
        assert running.ask("stop") < 1 * FACTOR
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.thaw()
        assert process.stdin
        process.stdin.close()
        status = process.wait(10)
        running.close()
        assert status == 0
