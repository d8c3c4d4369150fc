"""Start a command inside its assignment: placed before it is executed, so its first packet is right."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from procroute.engine.user import User
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, mounts

# Python ignores these; a command that is started directly does not.
_PYTHONS = (signal.SIGPIPE, signal.SIGXFSZ)


class Start(Struct, frozen=True):
    """A command to start. resolv_conf: the text of its own one, or None to leave look-ups alone."""

    command: Sequence[str]
    assignment: Path
    user: User | None
    resolv_conf: str | None


def launch(start: Start, blocked: frozenset[int]) -> int:
    """Fork, enter the assignment, execute; returns the PID once the command is running.

    blocked: the signals that the caller has blocked for itself and the command must not inherit. Raises
    ProcrouteError command-not-found, command-not-executable, or what kept the child from its place.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None: whoever called has closed it
            stream.flush()
    # Where SIGCHLD is ignored the kernel reaps children, and CMD's status would be lost (sigaction(2)).
    inherited = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        signal.signal(signal.SIGCHLD, inherited)
        _child(start, blocked, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        report = pipe.read()
    if report:
        os.waitpid(pid, 0)
        stage, number = report.decode().split(" ", 1)
        raise _failure(start, stage, number)
    return pid


def _child(start: Start, blocked: frozenset[int], report: int) -> NoReturn:
    """In the child: says on the pipe what failed; a pipe closed by exec says that nothing did."""
    try:
        _become(start, blocked, report)
    finally:  # nothing of ours may run on in the child, also where the engine has died and nobody reads
        os._exit(125)


def _become(start: Start, blocked: frozenset[int], report: int) -> None:
    stage = "cgroup"
    try:
        cgroups.enter(start.assignment)
        stage = "lookups"
        if start.resolv_conf is not None:
            mounts.private_lookups(start.resolv_conf)
        environment = dict(os.environ)
        stage = "user"
        if start.user is not None:
            environment |= start.user.environment()
            start.user.become()
        for number in _PYTHONS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        stage = "exec"
        os.execvpe(start.command[0], list(start.command), environment)
    except ProcrouteError as e:
        os.write(report, f"{stage} {e.message}".encode())
    except OSError as e:
        os.write(report, f"{stage} {e.errno}".encode())
    except BaseException as e:  # noqa: BLE001 - it is told, and nothing runs on
        os.write(report, f"{stage} {e!r}".encode())


def _failure(start: Start, stage: str, detail: str) -> ProcrouteError:
    command = start.command[0]
    number = int(detail) if detail.isdecimal() else 0
    what = os.strerror(number) if number else detail
    if stage == "exec" and number in (errno.ENOENT, errno.ENOTDIR):
        if "/" in command and os.path.exists(command):
            return ProcrouteError(
                "command-not-executable",
                f"{command}: its interpreter is missing",
                "see its first line, or file(1)",
            )
        return ProcrouteError("command-not-found", f"{command}: command not found")
    if stage == "exec":
        return ProcrouteError("command-not-executable", f"{command}: {what}")
    if stage == "lookups":
        return ProcrouteError(
            "lookups-not-closed",
            f"the command's name look-ups could not be set up: {what}",
            "--dns system leaves them as they are",
        )
    return ProcrouteError("launch-failed", f"{command} was not started ({stage}): {what}")
