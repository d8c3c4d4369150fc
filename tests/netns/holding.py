"""Programs whose execs are held in a lab, and who answers for them.

with holding(lab, cgroup) as daemon:
    daemon.hold(rule("/run/held/first4"))
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, Final

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from procroute.lab.servers import WHO_PORT
from tests.netns.inhabitants import routed
from tests.netns.running import ENVIRONMENT, until
from tests.netns.traffic import SERVER

PLACE: Final = os.environ.get("PROCROUTE_PROGRAMS", "/run/held")
"""The folder of programs in the lab: on its own file system, so that no mark is on a file of the host."""
_HERE: Final = Path(__file__).parent
_MADE: Final = _HERE.parents[1] / "build/programs"
"""Where they are already, where there is no compiler: in virtual machines (tests/vm/test)."""


def programs(lab: Lab) -> None:
    """Make `first4`, `first6`, `late4`, `late6` and `starts` in the lab."""
    os.makedirs(lab.path(PLACE), exist_ok=True)
    for name, content in _programs().items():
        file = lab.path(f"{PLACE}/{name}")
        file.write_bytes(content)
        file.chmod(0o755)


@functools.cache
def _programs() -> dict[str, bytes]:
    if _MADE.is_dir():
        return {file.name: file.read_bytes() for file in _MADE.iterdir()}
    with tempfile.TemporaryDirectory() as folder:
        for family in (4, 6):
            address = ", ".join(str(byte) for byte in ip_address(SERVER[family]).packed)
            words = [
                "-static",
                "-nostdlib",
                f"-DFAMILY={family}",
                f"-DADDRESS={{{address}}}",
                f"-DPORT={WHO_PORT}",
            ]
            compiled(_HERE / "first.c", Path(folder, f"first{family}"), *words, "-DPAUSE=0")
            compiled(_HERE / "first.c", Path(folder, f"late{family}"), *words, "-DPAUSE=1")
        compiled(_HERE / "starts.c", Path(folder, "starts"), "-pthread")
        return {name: Path(folder, name).read_bytes() for name in os.listdir(folder)}


def compiled(source: Path, program: Path, *words: str) -> None:
    """Make a program. Raises subprocess.CalledProcessError."""
    command: list[str | Path] = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", *words, "-o", program, source]
    subprocess.run(command, check=True)


def first(family: int) -> str:
    """The program that connects by that family."""
    return f"{PLACE}/first{family}"


def late(family: int) -> str:
    """The same, a second after it has begun."""
    return f"{PLACE}/late{family}"


def rule(
    *paths: str, when_down: str = "deny", key: str = "k", uids: list[int] | None = None, by: str = ""
) -> dict[str, Any]:
    """A rule, for `Daemon.hold`."""
    return {"key": key, "paths": paths, "when_down": when_down, "uids": uids, "by": by}


class Daemon:
    """A stand-in for the daemon. said: what the holder has said to it."""

    def __init__(self, lab: Lab, process: Process, told: IO[str], errors: IO[str]) -> None:
        self._lab = lab
        self._told = told  # a file: it would wait for who reads a pipe too late, and execs for it
        self._read = 0
        self.process = process
        self.said: list[dict[str, Any]] = []
        self._errors = errors
        self._rest = ""
        self._number = 0

    def tell(self, **words: Any) -> None:
        """Tell it what to do."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def does(self, what: str) -> None:
        """Have it place, allow or deny who is held, or do nothing, from now on."""
        before = len(self.heard("Does"))
        self.tell(do=what)
        until(lambda: len(self.heard("Does")) > before, what=f"that it does {what}")

    def hold(self, *rules: dict[str, Any]) -> dict[str, Any]:
        """Have execs held by these rules; what the holder says when they are."""
        self._number += 1
        self.tell(hold=rules)
        return self.await_said("Holding", number=self._number)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """What it has been told of that kind so far."""
        while data := os.pread(self._told.fileno(), 1 << 16, self._read):
            self._read += len(data)
            self._rest += data.decode()
        *lines, self._rest = self._rest.split("\n")
        self.said += [json.loads(line) for line in lines]
        return [one for one in self.said if one["said"] == kind]

    def await_said(self, kind: str, **words: Any) -> dict[str, Any]:
        """The first thing of that kind that was said with these words, when it is."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.heard(kind) if words.items() <= one.items()]

        try:
            until(found)
        except AssertionError:
            raise AssertionError(f"no {kind} {words} among {self.said}: {self.errors()}") from None
        return found()[0]

    def summary(self) -> str:
        """How often what was said, and what went wrong, for messages."""
        kinds = dict(Counter(one["said"] for one in self.said))
        return f"{kinds}\n{self.errors()}"

    def await_gone(self) -> None:
        """Wait until it knows that its holder has ended, and forget what that one said."""
        self.await_said("Gone")
        self.said.clear()
        self._number = 0

    def errors(self) -> str:
        """What it and its holder have written on stderr."""
        return os.pread(self._errors.fileno(), 1 << 16, 0).decode(errors="replace")

    def holder(self) -> int:
        """The PID of its last holder, as we count."""
        self.await_said("Hello")
        return _host_pid(self._lab.machine.pid, self.heard("Hello")[-1]["pid"])

    def stop(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        for pid in (self.process.command_pid(), self.process.pid):  # nsenter(1) stops with its child
            os.kill(pid, signal.SIGCONT)

    def kill(self) -> None:
        """As by a crash."""
        self._signal(signal.SIGKILL)
        self.process.wait(10)

    def end(self) -> None:
        """End it and its holder."""
        with contextlib.suppress(ProcessLookupError):
            self.go_on()
            self.kill()
        with contextlib.suppress(AssertionError, ProcessLookupError):  # it has ended by itself
            os.kill(holder := self.holder(), signal.SIGKILL)
            ends(holder, 10)
        self.process.wait(10)

    def _signal(self, number: int) -> None:
        os.kill(self.process.command_pid(), number)


@contextlib.contextmanager
def holding(lab: Lab, cgroup: str = "") -> Iterator[Daemon]:
    """A daemon that places who is held in `cgroup`, and a holder; both end with the block."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as errors:
        process = lab.popen(
            [sys.executable, "-m", "tests.netns.hold_daemon", f"/sys/fs/cgroup{cgroup}"],
            stdin=subprocess.PIPE,
            stdout=told,
            stderr=errors,
            env=ENVIRONMENT,
        )
        daemon = Daemon(lab, process, told, errors)
        try:
            until(lambda: daemon.heard("Hello") or process.poll() is not None)
            assert process.poll() is None, daemon.errors()
            yield daemon
        finally:
            daemon.end()
            assert process.stdin
            with contextlib.suppress(OSError):
                process.stdin.close()
        assert "Traceback" not in daemon.errors(), daemon.errors()


def _host_pid(beside: int, pid: int) -> int:
    """The PID as we count of who is `pid` in the pid namespace of `beside`."""
    namespace = os.stat(f"/proc/{beside}/ns/pid").st_ino
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdecimal() and os.stat(f"/proc/{name}/ns/pid").st_ino == namespace:
                status = Path(f"/proc/{name}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
                if line.split()[-1] == str(pid):
                    return int(name)
    raise AssertionError(f"no process {pid} there")


@contextlib.contextmanager
def busy(lab: Lab) -> Iterator[None]:
    """Every core has work."""
    busy = [lab.popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for one in busy:
            one.kill_session()
            one.wait(10)


def routers(output: str) -> Counter[str]:
    """By which router programs came out."""
    return Counter(json.loads(line)["router"] for line in output.splitlines())


def started(lab: Lab, how: str, program: str) -> subprocess.CompletedProcess[str]:
    """Start a program in one of the ways of starts.c."""
    return lab.run([f"{PLACE}/starts", how, program])


@contextlib.contextmanager
def place_with_route() -> Iterator[tuple[Lab, str]]:
    """A lab with those programs in which main prefers wan2, and the cgroup of an assignment on wan1."""
    with Lab(main="both") as lab, routed(lab) as command:
        programs(lab)
        yield lab, command.ask("hello").cgroup


def timed_start(lab: Lab, program: str) -> tuple[float, int]:
    """Start a program; the seconds until it ended, and the errno of the exec, or 0."""
    out = lab.run([f"{PLACE}/starts", "timed", "1", "0", program], check=True).stdout
    words = out.split()
    return float(words[-2]) / 1e6, int(words[-1])


def ends(pid: int, seconds: float) -> None:
    """Wait until a process has ended, whoever's it is. Raises AssertionError."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ready, _, _ = select.select([descriptor], [], [], seconds * FACTOR)
        assert ready, f"{pid} has not ended in {seconds} s"
    finally:
        os.close(descriptor)


if __name__ == "__main__":  # python -m tests.netns.holding FOLDER
    for name, content in _programs().items():
        (Path(sys.argv[1]) / name).write_bytes(content)
