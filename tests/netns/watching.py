"""Who watches the daemon in a lab, as the terminal application does, and programs that it sees.

with watcher(lab, processes=True) as seen:
    seen.wait(lambda: seen.named("sleep"))
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from procroute.lab import Lab
from procroute.lab.commands import Process
from tests.netns.daemons import as_user, for_users
from tests.netns.running import ENVIRONMENT, until

_ASK: Final = """
import json, sys
import msgspec
from procroute import protocol
from procroute.client import Client
with Client() as client:
    request = msgspec.convert(json.loads(sys.argv[1]), protocol.Request)
    print(msgspec.json.encode(client.ask(request)).decode(), flush=True)
    if isinstance(request, protocol.Watch):
        for event in client.events():
            print(msgspec.json.encode(event).decode(), flush=True)
"""
_ACTOR: Final = """
import os, sys
for line in sys.stdin:
    what, _, word = line.strip().partition(" ")
    if what == "name":
        open("/proc/self/comm", "w").write(word)
    elif what == "user":
        os.setresuid(int(word), int(word), int(word))
    elif what == "exec":
        os.execvp("sleep", ["sleep", word])
"""


class Watcher:
    """A client that watches. people: the processes that it knows by now, by PID; events: what it was told."""

    def __init__(self, process: Process) -> None:
        self.process = process
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        self._rest = b""
        self._begun = False
        self.events: list[dict[str, Any]] = []
        self.people: dict[int, dict[str, Any]] = {}
        until(lambda: self.read() or self._begun, 20, "the daemon's answer")

    def read(self) -> int:
        """Take in what was told; how many events there were by now."""
        assert self.process.stdout
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.process.stdout.fileno(), 1 << 16):
                self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return len(self.events)

    def _take(self, told: dict[str, Any]) -> None:
        if told.get("is") == "watching":
            self._begun = True
            self.people = {each["pid"]: each for each in told.get("processes", [])}
            return
        self.events.append(told)
        if told["event"] == "processes":
            for pid in told.get("gone", []):
                self.people.pop(pid, None)
            self.people |= {each["pid"]: each for each in told.get("now", [])}

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of a kind that came so far."""
        self.read()
        return [each for each in self.events if each["event"] == event]

    def named(self, word: str) -> list[dict[str, Any]]:
        """The processes that have this word in their command line, or are called so."""
        self.read()
        return [p for p in self.people.values() if word in p.get("command", []) or p.get("name") == word]

    def wait(self, true: Callable[[], object], seconds: float = 10) -> None:
        """Until something is seen."""
        until(lambda: self.read() >= 0 and true(), seconds, "what was to be seen")

    def told(self, word: str, **facts: object) -> None:
        """Wait for the one process that has a word to be so."""
        self.wait(lambda: [{k: p.get(k, 0) for k in facts} for p in self.named(word)] == [facts])


@contextlib.contextmanager
def watcher(lab: Lab, user: int = 0, **asked: object) -> Iterator[Watcher]:
    """A watcher that has asked for this (protocol.Watch)."""
    with asking(lab, user, do="watch", **asked) as process:
        yield Watcher(process)


def ask(lab: Lab, user: int = 0, **asked: object) -> dict[str, Any]:
    """The daemon's reply to a request. AssertionError, with what it says, where it refuses."""
    with asking(lab, user, **asked) as process:
        out, errors = process.communicate()
    assert process.returncode == 0, errors.strip().rpartition("\n")[2]
    found: dict[str, Any] = json.loads(out)
    return found


@contextlib.contextmanager
def asking(lab: Lab, user: int, **asked: object) -> Iterator[Process]:
    """A client; it ends with the block."""
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(for_users(lab)) if user else sys.executable
        path = ":".join([ENVIRONMENT["PYTHONPATH"], *(p for p in sys.path if "site-packages" in p)])
        words = [*as_user(user), python, "-c", _ASK, json.dumps(asked)]
        pipe = subprocess.PIPE
        process = lab.popen(words, env={"PYTHONPATH": path}, stdout=pipe, stderr=pipe)
        stack.callback(process.wait, 10)
        stack.callback(process.kill_session)
        for stream in filter(None, (process.stdout, process.stderr)):
            stack.callback(stream.close)
        yield process


@contextlib.contextmanager
def started(lab: Lab, *words: str, user: int = 0) -> Iterator[Process]:
    """A command that can be written to; it ends with the block."""
    process = lab.popen([*as_user(user), *words], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill_session()
        process.wait(10)
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


@contextlib.contextmanager
def actor(lab: Lab, word: str, user: int = 0) -> Iterator[Callable[[str], None]]:
    """A process that has this word; it is told what to do: name NAME, user UID, exec WORD."""
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(for_users(lab)) if user else sys.executable
        process = stack.enter_context(started(lab, python, "-S", "-c", _ACTOR, word, user=user))

        def do(what: str) -> None:
            assert process.stdin
            process.stdin.write(f"{what}\n")
            process.stdin.flush()

        yield do
