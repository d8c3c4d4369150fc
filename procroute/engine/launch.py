"""Start a command inside its assignment: placed before it is executed, so its first packet is right."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from msgspec import Struct

from procroute.engine.execute import execute, failure
from procroute.engine.user import User
from procroute.errors import ProcrouteError
from procroute.kernel import mounts
from procroute.kernel.faults import passed

# Python ignores these; a command that is started directly does not.
_PYTHONS = (signal.SIGPIPE, signal.SIGXFSZ)
_READY = b"+"
_GO = b">"
_Handler = Callable[[int, FrameType | None], Any] | int | None


class Start(Struct, frozen=True):
    """A command to start. resolv_conf: the text of its own one, or None to leave look-ups alone.

    blocked: the signals that the caller has blocked for itself and the command must not inherit. lock: the
    descriptor of the lock that is held; the child closes it. place: puts a process into an assignment, which
    it returns; raises ProcrouteError. stay: the user's systemd is kept out of its sight, so that it asks that
    for no cgroup.
    """

    command: Sequence[str]
    place: Callable[[int], Path]
    user: User | None
    resolv_conf: str | None
    blocked: frozenset[int]
    lock: int
    stay: bool = False


class Launched(Struct, frozen=True):
    """A child in its place. What it tells about its exec can be read once it has ended."""

    pid: int
    start: Start
    assignment: Path
    report: int

    def failure(self) -> ProcrouteError | None:
        """Why there was no command: command-not-found, command-not-executable …; None where there was one.

        To be asked after the child's end, once.
        """
        with os.fdopen(self.report, "rb") as pipe:
            return _failure(self.start, pipe.read())


def launch(start: Start) -> Launched:
    """Fork and place the child; returns once it is in its place, and about to execute the command.

    Executing it may take as long as a file system likes. Raises ProcrouteError for what kept the child from
    its place.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    waiting, going = os.pipe2(os.O_CLOEXEC)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None: whoever called has closed it
            stream.flush()
    # Where SIGCHLD is ignored the kernel reaps children, and CMD's status would be lost (sigaction(2)).
    inherited = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = passed("fork", "", os.fork)
    if pid == 0:
        _child(start, inherited, (reading, going), waiting, writing)
    os.close(writing)
    os.close(waiting)
    first = os.read(reading, len(_READY))
    if first != _READY:
        os.close(going)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reading, "rb") as pipe:
            failure = _failure(start, first + pipe.read())
        raise failure or _failure_at(start, "start", f"it ended with {os.waitstatus_to_exitcode(status)}")
    try:
        assignment = start.place(pid)
    except BaseException as e:
        os.close(going)  # the child ends
        os.waitpid(pid, 0)
        os.close(reading)
        if isinstance(e, ProcrouteError):
            raise _failure_at(start, "cgroup", e.message, e.hint) from e
        raise
    with contextlib.suppress(BrokenPipeError):  # one that was killed while it waited reads no more
        os.write(going, _GO)
    os.close(going)
    return Launched(pid, start, assignment, reading)


def _child(start: Start, on_child: _Handler, ends: Sequence[int], go: int, report: int) -> NoReturn:
    """In the child: says on the pipe that it is ready to be placed, and what failed before or after.

    on_child: what SIGCHLD did for our caller. ends: those of the pipes that are the engine's. go: tells that
    it is in its place; ends when the engine does.
    """
    try:
        for end in ends:
            os.close(end)
        signal.signal(signal.SIGCHLD, on_child)
        _become(start, go, report)
    finally:  # nothing of ours may run on in the child, also where the engine has died and nobody reads
        os._exit(125)


def _become(start: Start, go: int, report: int) -> None:
    """It is the user already when it is placed: a user's manager takes only what is his."""
    stage = "lookups"
    try:
        os.close(start.lock)
        if start.resolv_conf is not None:
            mounts.private_lookups(start.resolv_conf)
        if start.stay:
            mounts.without_manager(os.geteuid() if start.user is None else start.user.uid)
        environment = dict(os.environ)
        stage = "user"
        if start.user is not None:
            environment |= start.user.environment()
            start.user.become()
        os.write(report, _READY)
        if os.read(go, len(_GO)) != _GO:
            return
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


def _failure_at(start: Start, stage: str, detail: str, hint: str = "") -> ProcrouteError:
    command = start.command[0]
    number = int(detail) if detail.isdecimal() else 0
    what = os.strerror(number) if number else detail
    if stage == "exec" and number:
        return failure(command, number)
    if stage == "exec":
        return ProcrouteError("command-not-executable", f"{command}: {what}")
    if stage == "lookups":
        return ProcrouteError(
            "lookups-not-closed",
            f"the command's name look-ups could not be set up: {what}",
            "--dns system leaves them as they are",
        )
    return ProcrouteError("launch-failed", f"{command} was not started ({stage}): {what}", hint)
