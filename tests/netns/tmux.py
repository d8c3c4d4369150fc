"""A person's terminals in a lab's machine: windows of tmux, which can be typed into and looked at.

with Tmux(lab, columns=100, rows=30) as tmux:
    shell = tmux.window("bash")
    tmux.type(shell, "echo $((6 * 7))", "Enter")
    tmux.see(shell, "42")
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from procroute.lab import Lab
from tests.netns.running import ENVIRONMENT, until

_SOCKET = "/run/tmux-of-a-test"


class Tmux:
    """A server of its own, which ends with the block, and all that runs in its windows."""

    HOME = "/run/home-of-a-test"
    """Of all that runs in them; removed with the rest."""

    def __init__(self, lab: Lab, columns: int, rows: int) -> None:
        self.lab = lab
        self._size = ["-x", str(columns), "-y", str(rows)]
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What ran in it is hung up, and ends when it has heard that: a daemon that ends before leaves routes.
        self.lab.sh(
            f"sessions=$(tmux -S {_SOCKET} list-panes -a -F '#{{pane_pid}}' | paste -sd,);"
            f" tmux -S {_SOCKET} kill-server; rm -rf {_SOCKET} {self.HOME};"
            ' for i in $(seq 100); do [ -n "$sessions" ] && pgrep -s "$sessions" >/dev/null || break;'
            " sleep 0.05; done"
        )

    def window(self, *command: str) -> str:
        """Open one in which this runs; what it is called here. It stays when the command ends."""
        self._count += 1
        name = f"w{self._count}"
        words = f"{shlex.join(command)}; echo ended with $?; exec sleep infinity"
        self._tmux("new-session", "-d", "-s", name, *self._size, words)
        return name

    def type(self, window: str, *keys: str) -> None:
        """Type: words as they are, and keys by their names (tmux(1), KEY BINDINGS)."""
        self._tmux("send-keys", "-t", window, *keys)

    def screen(self, window: str, *, escapes: bool = False) -> str:
        """What is seen in it. escapes: with those that colour it."""
        return self._tmux("capture-pane", "-p", *(["-e"] if escapes else []), "-t", window)

    def resize(self, window: str, columns: int, rows: int) -> None:
        """Make it as large as that."""
        self._tmux("resize-window", "-t", window, "-x", str(columns), "-y", str(rows))

    def last(self, window: str) -> str:
        """The last line in it."""
        return ([line for line in self.screen(window).splitlines() if line.strip()] or [""])[-1]

    def see(self, window: str, *texts: str, seconds: float = 20) -> None:
        """Wait until all of these are seen. AssertionError, with what is seen instead."""
        try:
            until(lambda: all(text in self.screen(window) for text in texts), seconds)
        except AssertionError:
            raise AssertionError(f"{texts} are not seen, but\n{self.screen(window)}") from None

    def _tmux(self, *words: str) -> str:
        env = ENVIRONMENT | {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "HOME": self.HOME}
        command: Sequence[str] = ["tmux", "-u", "-S", _SOCKET, "-f", "/dev/null", *words]
        done = self.lab.run(command, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout
