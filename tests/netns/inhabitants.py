"""Who lives in a lab's machine while a test runs: a command under `procroute run`, and bystanders.

with routed(lab, "--strict") as command:
    assert command.ask("tcp", to=SERVER[4]).router == "wan1"
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Final

from procroute.identity import Identity
from procroute.kernel import programs
from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR

PROBE: Final = [sys.executable, "-S", str(Path(__file__).with_name("probe.py"))]
RUN: Final = [sys.executable, "-m", "procroute", "run"]
_CGROUPS: Final = "/sys/fs/cgroup"
_WAITING: Final = frozenset({"tcp", "udp", "unconnected", "again", "reach", "ping"})
"""What waits for an answer, a second unless the request says otherwise."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one request (see probe.py). client: the source that the server saw; ms: its duration."""

    router: str = ""
    client: str = ""
    local: str = ""
    sender: str = ""
    said: str = ""
    error: str = ""
    ms: float = 0
    mark: int = 0
    protocol: int = 0
    mtu: int = 0
    pid: int = 0
    cgroup: str = ""


def without_bpf() -> bool:
    """Whether what is started now does without BPF (tests/netns/no_bpf)."""
    return os.environ.get("PROCROUTE_NO_BPF") == "1"


_FIELDS: Final = {field.name for field in fields(Heard)}


class Inhabitant:
    """A running probe."""

    def __init__(self, process: Process, errors: IO[str]) -> None:
        self.process = process
        self.changes_marks = False
        self._errors = errors

    def ask(self, how: str, **request: Any) -> Heard:
        """One request and its answer. Raises AssertionError when the probe is gone or silent."""
        assert self.process.stdin
        assert self.process.stdout
        self.changes_marks |= "mark" in request
        if how in _WAITING:
            request["seconds"] = request.get("seconds", 1) * FACTOR
        try:
            self.process.stdin.write(json.dumps({"how": how, **request}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the probe has ended: {self.told()}") from None
        ready, _, _ = select.select([self.process.stdout], [], [], request.get("seconds", 1) + 20 * FACTOR)
        line = self.process.stdout.readline() if ready else ""
        assert line, f"no answer to {how} {request}: {self.told()}"
        return Heard(**{name: value for name, value in json.loads(line).items() if name in _FIELDS})

    def told(self) -> str:
        """What has been written on stderr so far."""
        self._errors.flush()
        return os.pread(self._errors.fileno(), 1 << 16, 0).decode(errors="replace")

    def end(self) -> int:
        """Let the probe end, and what it runs under; the exit status."""
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill_session()
            raise AssertionError(f"it does not end: {self.told()}") from None
        finally:
            self.process.stdout.close()


class Command(Inhabitant):
    """A probe under `procroute run`."""

    def __init__(self, lab: Lab, process: Process, errors: IO[str]) -> None:
        super().__init__(process, errors)
        self.lab = lab
        self.target = ""

    def begin(self) -> None:
        """Wait until it runs, and see where it was put: its target is the cgroup above."""
        own = Path(self.ask("hello").cgroup)
        self.target = str(self.lab.path(f"{_CGROUPS}{own.parent}"))

    def freeze(self) -> None:
        """Stop the engine, so that it repairs nothing; the command runs on."""
        engine = self.process.command_pid()
        os.kill(engine, signal.SIGSTOP)
        deadline = time.monotonic() + 5 * FACTOR
        while _state(engine) != "T":
            assert time.monotonic() < deadline, "the engine does not stop"
            time.sleep(0.002)

    def thaw(self) -> None:
        """Let the engine go on."""
        for pid in (self.process.command_pid(), self.process.pid):  # nsenter(1) stops with its child
            os.kill(pid, signal.SIGCONT)

    def switch_off(self, *kinds: str) -> None:
        """Take programs of that kind off, with the engine stopped; with the mark goes its belt."""
        self.freeze()
        if "mark" in kinds:
            self.changes_marks = True
            self.lab.sh("nft delete table inet procroute 2>/dev/null || true")
        programs.detach(self.target, kinds)

    def lost(self) -> int:
        """How many of its packets had lost the mark of their socket, as the belt counts; 0 without a belt."""
        attached = programs.attached(self.target)
        if attached is None:
            return 0
        return self.counters().get(f"lost_{Identity().number(attached.marking.mark)}", 0)

    def drops(self, adapter: str) -> int:
        """How many packets the guard has dropped that would have left by `adapter`."""
        index = int(self.lab.path(f"/sys/class/net/{adapter}/ifindex").read_text())
        if without_bpf():
            found = self.counters().items()
            return sum(n for name, n in found if name.startswith("drop_") and name.endswith(f"_{index}"))
        return programs.drops(self.target).get(index, 0)

    def counters(self) -> dict[str, int]:
        """The counters of our nft table, and the packets that they stand at."""
        listed = self.lab.sh("nft -j list counters table inet procroute 2>/dev/null || true")
        objects = json.loads(listed or '{"nftables": []}')["nftables"]
        return {o["counter"]["name"]: o["counter"]["packets"] for o in objects if "counter" in o}


@contextlib.contextmanager
def routed(lab: Lab, *options: str, via: str = "wan1") -> Iterator[Command]:
    """A probe under `procroute run --via wan1`, ready to be asked. It must end well.

    None of its packets may have lost the mark of their socket, unless it was told to change marks.
    """
    with commanded(lab, [*RUN, "--via", via, *options, "--", *PROBE]) as command:
        yield command


@contextlib.contextmanager
def commanded(lab: Lab, words: list[str]) -> Iterator[Command]:
    """The same, by other words."""
    with start(lab, words) as (process, errors):
        command = Command(lab, process, errors)
        try:
            command.begin()
            yield command
            lost = 0 if command.changes_marks else command.lost()
            assert not lost, f"{lost} packets had lost their mark"
        finally:
            with contextlib.suppress(ProcessLookupError):
                command.thaw()
            status = command.end()
        assert status == 0, f"run ended with {status}: {command.told()}"


@contextlib.contextmanager
def bystander(lab: Lab, python: str = PROBE[0]) -> Iterator[Inhabitant]:
    """A probe that nobody routes. python: the interpreter, by another name."""
    with start(lab, [python, *PROBE[1:]]) as (process, errors):
        living = Inhabitant(process, errors)
        living.ask("hello")
        try:
            yield living
        finally:
            living.end()


@contextlib.contextmanager
def start(
    lab: Lab, command: list[str], env: dict[str, str] | None = None
) -> Iterator[tuple[Process, IO[str]]]:
    """A process that is spoken with by lines, and the file that its stderr goes to."""
    with tempfile.TemporaryFile("w+") as errors:
        pipe = subprocess.PIPE
        process = lab.popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=env or {})
        try:
            yield process, errors
        finally:
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(OSError):  # it has ended, and what it was told last is unread
                        stream.close()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
