"""Commands in the lab, wherever they run: what can be asked of every place that can start one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TypedDict, Unpack

from procroute.lab.patience import FACTOR


class Process(subprocess.Popen[str]):
    """A command in the lab. Its own pid is that of nsenter; signals go to the command.

    Timeouts are in seconds, as elsewhere, times the lab's patience.
    """

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the exit status."""
        return super().wait(_patiently(timeout))

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002
        """Write, read to the end, and wait for it."""
        return super().communicate(input, _patiently(timeout))

    def command_pid(self, seconds: float = 5) -> int:
        """The command's pid as the host counts. Raises ProcessLookupError if it has ended."""
        deadline = time.monotonic() + seconds * FACTOR
        while time.monotonic() < deadline:
            try:
                children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            except OSError:
                break
            if children:
                return int(children[0])
            if self.poll() is not None:
                break
            time.sleep(0.002)
        raise ProcessLookupError(f"{self.args!r} has ended")

    def send_signal(self, sig: int) -> None:
        """Send `sig` to the command, if it still runs."""
        try:
            os.kill(self.command_pid(), sig)
        except ProcessLookupError:
            return

    def kill_session(self) -> None:
        """SIGKILL for the command and everything of its session."""
        try:
            session = self.command_pid()
        except ProcessLookupError:
            return
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    if os.getsid(int(entry)) == session:
                        os.kill(int(entry), signal.SIGKILL)
                except ProcessLookupError:
                    continue


def _patiently(timeout: float | None) -> float | None:
    return None if timeout is None else timeout * FACTOR


class Surroundings(TypedDict, total=False):
    """What a command is started with: all of it is ours unless given.

    env: added to the environment; terminal: stdin is one, and becomes the controlling terminal.
    """

    env: dict[str, str]
    cwd: str
    stdin: int | IO[str]
    stdout: int | IO[str]
    stderr: int | IO[str]
    terminal: bool


class Place(ABC):
    """Where commands can be started, and what follows from that."""

    @abstractmethod
    def popen(
        self, command: Sequence[str | os.PathLike[str]], **surroundings: Unpack[Surroundings]
    ) -> Process:
        """Start `command`; it ends with the lab at the latest."""

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        timeout: float = 30,
        stdin: str = "",
        env: dict[str, str] | None = None,
        cwd: str = "",
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` to its end; stdout and stderr are captured. timeout: in seconds, times our patience.

        Raises subprocess.TimeoutExpired, after the command's whole session was killed; with `check`,
        subprocess.CalledProcessError.
        """
        pipe = subprocess.PIPE
        process = self.popen(command, env=env or {}, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            out, err = process.communicate(stdin, timeout * FACTOR)
        except subprocess.TimeoutExpired as expired:
            process.kill_session()
            process.wait(5)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
            raise subprocess.TimeoutExpired(list(command), timeout, expired.output, expired.stderr) from None
        done = subprocess.CompletedProcess(list(command), process.returncode, out, err)
        if check:
            done.check_returncode()
        return done

    def python(self, code: str, *args: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run Python code with this interpreter; args are its sys.argv[1:]."""
        return self.run([sys.executable, "-c", code, *args], timeout=timeout)

    def sh(self, script: str, timeout: float = 30) -> str:
        """Standard output of a shell script. Raises subprocess.CalledProcessError if it fails."""
        return self.run(["sh", "-c", script], timeout=timeout, check=True).stdout

    def ip(self, arguments: str) -> str:
        """Run ip(8), arguments as in a shell; its output. Raises subprocess.CalledProcessError."""
        return self.run(["ip", *arguments.split()], check=True).stdout

    def batch(self, lines: str) -> None:
        """Run commands of ip(8), one a line. Raises subprocess.CalledProcessError."""
        if lines.strip():
            self.run(["ip", "-batch", "-"], stdin=lines, check=True)

    def nft(self, script: str) -> str:
        """Run an nftables script; its output. Raises subprocess.CalledProcessError."""
        return self.run(["nft", "-f", "-"], stdin=script, check=True).stdout
