"""Running things inside the machine (or in a node's network) from outside: nsenter(1), in the lab's cgroup.

Each command is started in a session of its own, so that its process group exists in the machine's pid
namespace, job control works, and all of it can be killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

PACKAGE_ROOT: Final = str(Path(__file__).resolve().parents[2])
"""The directory that procroute is imported from."""

# in the host's view: join the cgroup, then the namespaces; a terminal becomes the controlling one
_ENTER = 'echo 0 >"$1" && shift && exec nsenter "$@"'
# in the machine's view: the same directory if it is there
_INSIDE = 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"'


class Process(subprocess.Popen[str]):
    """A command in the lab. Its own pid is that of nsenter; signals go to the command."""

    def command_pid(self, seconds: float = 5) -> int:
        """The command's pid as the host counts. Raises ProcessLookupError if it has ended."""
        deadline = time.monotonic() + seconds
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


@dataclass(frozen=True, slots=True)
class Inside:
    """A place to run commands: the namespaces of process `pid`, and a cgroup.

    procs: that cgroup's cgroup.procs as we see it; whole: all namespaces, or the network only (a node's).
    """

    pid: int
    procs: str
    whole: bool

    def popen(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        stdin: int | IO[str] | None = None,
        stdout: int | IO[str] | None = None,
        stderr: int | IO[str] | None = None,
        terminal: bool = False,
    ) -> Process:
        """Start `command`.

        env: added to the environment; terminal: stdin is one, and becomes the controlling terminal.
        """
        where = cwd or os.getcwd()
        kinds = ["-m", "-n", "-p", "-u", "-i", "-C"] if self.whole else ["-n"]
        session = ["setsid", "--wait", "--ctty"] if terminal else ["setsid", "--wait"]
        inside = ["sh", "-c", _INSIDE, "sh", where, *(os.fspath(word) for word in command)]
        return Process(
            ["sh", "-c", _ENTER, "sh", self.procs, "-t", str(self.pid), *kinds, "--", *session, *inside],
            env=environment() | (env or {}),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        timeout: float = 30,
        stdin: str = "",
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` to its end; stdout and stderr are captured.

        Raises subprocess.TimeoutExpired, after the command's whole session was killed; with `check`,
        subprocess.CalledProcessError.
        """
        pipe = subprocess.PIPE
        process = self.popen(command, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            out, err = process.communicate(stdin, timeout)
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


def environment() -> dict[str, str]:
    """Ours, with this interpreter's programs found first."""
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return {**os.environ, "PATH": f"{beside}:{path}"}
