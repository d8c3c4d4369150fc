"""Start a command inside its assignment: placed before it is executed, so its first packet is right."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from msgspec import Struct

from procroute.engine.execute import execute, hint_for_missing
from procroute.engine.user import User
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups, mounts

# Python ignores these; a command that is started directly does not.
_PYTHONS = (signal.SIGPIPE, signal.SIGXFSZ)
_IN_PLACE = b"+"
_Handler = Callable[[int, FrameType | None], Any] | int | None


class Start(Struct, frozen=True):
    """A command to start. resolv_conf: the text of its own one, or None to leave look-ups alone.

    blocked: the signals that the caller has blocked for itself and the command must not inherit. lock: the
    descriptor of the lock that is held; the child closes it once it is in its place.
    """

    command: Sequence[str]
    assignment: Path
    user: User | None
    resolv_conf: str | None
    blocked: frozenset[int]
    lock: int


class Launched(Struct, frozen=True):
    """A child in its place. What it tells about its exec can be read once it has ended."""

    pid: int
    start: Start
    report: int

    def failure(self) -> ProcrouteError | None:
        """Why there was no command: command-not-found, command-not-executable …; None where there was one.

        To be asked after the child's end, once.
        """
        with os.fdopen(self.report, "rb") as pipe:
            return _failure(self.start, pipe.read())


def launch(start: Start) -> Launched:
    """Fork and enter the assignment; returns once the child is there, and about to execute the command.

    Executing it may take as long as a file system likes. Raises ProcrouteError for what kept the child from
    its place.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None: whoever called has closed it
            stream.flush()
    # Where SIGCHLD is ignored the kernel reaps children, and CMD's status would be lost (sigaction(2)).
    inherited = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _child(start, inherited, reading, writing)
    os.close(writing)
    first = os.read(reading, len(_IN_PLACE))
    launched = Launched(pid, start, reading)
    if first == _IN_PLACE:
        return launched
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        failure = _failure(start, first + pipe.read())
    raise failure or _failure_at(start, "cgroup", f"it ended with {os.waitstatus_to_exitcode(status)}")


def _child(start: Start, on_child: _Handler, heard: int, report: int) -> NoReturn:
    """In the child: says on the pipe that it is in its place, and what failed before or after.

    on_child: what SIGCHLD did for our caller. heard: the pipe's other end.
    """
    try:
        os.close(heard)
        signal.signal(signal.SIGCHLD, on_child)
        _become(start, report)
    finally:  # nothing of ours may run on in the child, also where the engine has died and nobody reads
        os._exit(125)


def _become(start: Start, report: int) -> None:
    stage = "cgroup"
    try:
        cgroups.enter(start.assignment)
        stage = "lookups"
        if start.resolv_conf is not None:
            mounts.private_lookups(start.resolv_conf)
        os.close(start.lock)
        os.write(report, _IN_PLACE)
        environment = dict(os.environ)
        stage = "user"
        if start.user is not None:
            environment |= start.user.environment()
            start.user.become()
        for number in _PYTHONS:
            signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # an exec that hangs can be interrupted
        signal.pthread_sigmask(signal.SIG_UNBLOCK, start.blocked)
        stage = "exec"
        execute(start.command, environment)
    except ProcrouteError as e:
        os.write(report, f"{stage} {e.message}".encode(errors="replace"))
    except OSError as e:
        os.write(report, f"{stage} {e.errno}".encode())
    except BaseException as e:  # noqa: BLE001 - it is told, and nothing runs on
        os.write(report, f"{stage} {e!r}".encode(errors="replace"))


def _failure(start: Start, report: bytes) -> ProcrouteError | None:
    """What a child told, as an error; None where it told nothing."""
    stage, _, detail = report.decode(errors="replace").partition(" ")
    return _failure_at(start, stage, detail) if report else None


def _failure_at(start: Start, stage: str, detail: str) -> ProcrouteError:
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
        return ProcrouteError("command-not-found", f"{command}: command not found", hint_for_missing(command))
    if stage == "exec":
        return ProcrouteError("command-not-executable", f"{command}: {what}")
    if stage == "lookups":
        return ProcrouteError(
            "lookups-not-closed",
            f"the command's name look-ups could not be set up: {what}",
            "--dns system leaves them as they are",
        )
    return ProcrouteError("launch-failed", f"{command} was not started ({stage}): {what}")
