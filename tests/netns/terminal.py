"""A person at a terminal of the machine: types, reads what comes, and has a shell with job control.

with Terminal(lab) as terminal:
    terminal.type("echo $((6 * 7))\n")
    terminal.see("42")
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from types import TracebackType
from typing import Final, Self

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT, run_by

PROMPT: Final = "ready> "
INTERRUPT, QUIT, SUSPEND = "\x03", "\x1c", "\x1a"


class Terminal:
    """An interactive bash on a pseudo-terminal (pty(7)) that does not echo."""

    def __init__(self, lab: Lab) -> None:
        self._master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self._seen = ""
        self.shell = lab.popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            env=ENVIRONMENT | {"PS1": PROMPT, "TERM": "dumb", "run": " ".join(run_by("wan1"))},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            terminal=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        self.see(PROMPT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()

    def type(self, keys: str) -> None:
        """Type; `$run` in a command line is `procroute run --via wan1 --`."""
        os.write(self._master, keys.encode())

    def foreground(self) -> int:
        """The process group that keys like ^C go to."""
        return os.tcgetpgrp(self._master)

    def see(self, pattern: str, seconds: float = 15) -> re.Match[str]:
        """Wait for what matches on the screen, past what was seen. AssertionError if it never comes."""
        deadline = time.monotonic() + seconds * FACTOR
        while not (found := re.search(pattern, self._seen)):
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} does not come; on the screen: {self._seen!r}"
            self._seen += os.read(self._master, 4096).decode(errors="replace").replace("\r\n", "\n")
        self._seen = self._seen[found.end() :]
        return found

    def do(self, line: str) -> str:
        """Run a short command line; what it printed, up to the next prompt."""
        self.type(line + "\n")
        return self.see(rf"(?s)(.*?){PROMPT}")[1]

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window (ioctl_tty(2), TIOCSWINSZ)."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the terminal's window, and wait for the shell's end."""
        if self._master < 0:
            return
        os.close(self._master)
        self._master = -1
        try:
            self.shell.wait(10)
        except subprocess.TimeoutExpired:
            self.shell.kill_session()
            self.shell.wait(5)
            raise
