"""A daemon in a lab's machine, and users who ask it.

with daemon(lab) as running, placed(lab, ALICE) as command:
    assert command.ask("tcp", to=SERVER[4]).router == "wan1"
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from procroute.lab import Lab
from procroute.lab.commands import Process
from tests.netns.inhabitants import PROBE, RUN, Command, commanded
from tests.netns.running import ENVIRONMENT, PROCROUTE, until

ALICE, BOB = 1000, 1001
SOCKET: Final = "/run/procroute/procroute.sock"
_GROUP: Final = 4711
"""Of whoever may ask: group procroute of the machine."""


class Daemon:
    """A running procrouted."""

    def __init__(self, lab: Lab, process: Process, log: IO[str]) -> None:
        self.lab = lab
        self.process = process
        self._log = log

    def log(self) -> str:
        """What it has said so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def kill(self) -> None:
        """End it as a crash does."""
        os.kill(self.process.command_pid(), signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """End it in order; its exit status."""
        os.kill(self.process.command_pid(), signal.SIGTERM)
        return self.process.wait(20)

    def ps(self, *options: str, user: int = 0) -> list[dict[str, Any]]:
        """The assignments, as a user sees them."""
        answer = self.lab.run([*as_user(user), *PROCROUTE, "ps", "--json", *options], env=ENVIRONMENT)
        assert answer.returncode == 0, answer.stderr
        found: list[dict[str, Any]] = json.loads(answer.stdout)["assignments"]
        return found


def give_to_group(lab: Lab) -> None:
    """As the daemon does where there is the group."""
    lab.sh(f"chgrp {_GROUP} {SOCKET} && chmod 660 {SOCKET}")


def as_user(uid: int) -> list[str]:
    """The words before a command of a user who may ask the daemon."""
    if not uid:
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={_GROUP}"]


def called(lab: Lab, uid: int) -> str:
    """What a user is called in the machine, or `uid 1000`."""
    return lab.sh(f"id -nu {uid} 2>/dev/null || true").strip() or f"uid {uid}"


_PYTHON: Final = "/run/python"


@contextlib.contextmanager
def for_users(lab: Lab) -> Iterator[str]:
    """This interpreter where users find it: a version manager may keep it in root's home."""
    lab.sh(f"mkdir -p {_PYTHON} && mount -n --bind {sys.base_prefix} {_PYTHON}")
    try:
        yield f"{_PYTHON}/{Path(sys.executable).resolve().relative_to(sys.base_prefix)}"
    finally:
        lab.sh(f"umount -n -l {_PYTHON} && rmdir --ignore-fail-on-non-empty {_PYTHON} 2>/dev/null || true")


@contextlib.contextmanager
def daemon(lab: Lab, *words: str, env: dict[str, str] | None = None) -> Iterator[Daemon]:
    """A daemon that is ready; it must end well, unless it has ended by then. words: to start it with."""
    with tempfile.TemporaryFile("w+") as log:
        env = ENVIRONMENT | {"PYTHONFAULTHANDLER": "1"} | (env or {})
        process = lab.popen(words or [*PROCROUTE, "daemon"], env=env, stderr=log)
        running = Daemon(lab, process, log)
        try:
            until(lambda: "ready" in running.log() or process.poll() is not None, 30)
        except AssertionError:
            process.send_signal(signal.SIGABRT)  # where it hangs
            process.wait(10)
        assert process.poll() is None, running.log()
        give_to_group(lab)
        try:
            yield running
        finally:
            if process.poll() is None:
                assert running.stop() == 0, running.log()
            assert "Traceback" not in running.log(), running.log()


@contextlib.contextmanager
def placed(lab: Lab, user: int, *options: str, via: str = "wan1") -> Iterator[Command]:
    """A probe of a user under `procroute run`, which the daemon placed."""
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(for_users(lab)) if user else PROBE[0]
        words = [*as_user(user), *RUN, "--via", via, *options, "--", python, *PROBE[1:]]
        yield stack.enter_context(commanded(lab, words))
