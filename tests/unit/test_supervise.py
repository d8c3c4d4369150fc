"""What becomes of a signal that the engine gets."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from pathlib import Path
from typing import Any, cast

import pytest

from procroute.engine.supervise import FORWARDED, Supervisor
from procroute.kernel import cgroups
from procroute.kernel.signals import Received

COMMAND = 4711
PERSON = 815
Killed = list[tuple[int, int]]


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Killed:
    """Whom the engine sent which signals."""
    found: Killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: found.append((pid, number)))
    return found


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor(COMMAND, Path("/nowhere"), cast("Any", None), cast("Any", None), lambda line: None)


def sent(number: int) -> Received:
    """A signal that a person or program sent."""
    return Received(number, PERSON, by_kernel=False)


def typed(number: int) -> Received:
    """A signal that the terminal sent to the whole foreground job, the command included."""
    return Received(number, 0, by_kernel=True)


@pytest.mark.promise("CLI-06")
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMIN]
)
def test_what_somebody_sends_goes_to_the_command(supervisor: Supervisor, killed: Killed, number: int) -> None:
    assert number in FORWARDED
    supervisor._on_signal(sent(number))
    assert killed == [(COMMAND, number)]


@pytest.mark.promise("CLI-06")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGWINCH])
def test_what_the_terminal_sends_has_reached_it_already(
    supervisor: Supervisor, killed: Killed, number: int
) -> None:
    supervisor._on_signal(typed(number))
    assert killed == []


@pytest.mark.parametrize("sender", [COMMAND, os.getpid()], ids=["command", "we"])
def test_what_the_command_or_we_send_us_is_not_sent_back(
    supervisor: Supervisor, killed: Killed, sender: int
) -> None:
    supervisor._on_signal(Received(signal.SIGTERM, sender, by_kernel=False))
    assert killed == []


@pytest.mark.promise("CLI-06")
def test_what_stops_a_job_is_the_commands_first(supervisor: Supervisor, killed: Killed) -> None:
    """We stop when it has, so that its shell does not go on before."""
    stops = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
    assert stops <= FORWARDED
    for number in stops:
        supervisor._on_signal(typed(number))
    assert killed == []
    assert not {signal.SIGSTOP, signal.SIGKILL} & FORWARDED
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGCONT, signal.SIGCHLD, signal.SIGPIPE} <= FORWARDED


def test_the_end_of_a_child_is_not_passed_on(supervisor: Supervisor, killed: Killed) -> None:
    supervisor._on_signal(typed(signal.SIGCHLD))
    supervisor._on_signal(sent(signal.SIGCHLD))
    assert killed == []


@pytest.mark.promise("CLI-06")
def test_going_on_wakes_a_command_that_was_stopped(supervisor: Supervisor, killed: Killed) -> None:
    supervisor._on_signal(sent(signal.SIGCONT))
    assert killed == []
    supervisor._stopped = True
    supervisor._on_signal(sent(signal.SIGCONT))
    supervisor._on_signal(sent(signal.SIGCONT))
    assert killed == [(COMMAND, signal.SIGCONT)]


@pytest.mark.promise("CLI-08")
@pytest.mark.parametrize(
    ("number", "leaves"),
    [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGHUP, True), (signal.SIGUSR1, False)],
)
@pytest.mark.parametrize("how", [sent, typed])
def test_when_only_others_are_left_a_wish_to_end_sends_us_to_the_background(
    supervisor: Supervisor, killed: Killed, number: int, leaves: bool, how: Any
) -> None:
    supervisor.status = 0
    supervisor._on_signal(how(number))
    assert supervisor._leave is leaves
    assert killed == []


def test_descriptors_above_1023_are_waited_for(supervisor: Supervisor) -> None:
    class Quiet:
        def __init__(self, descriptor: int) -> None:
            self.fileno = lambda: descriptor

        def read(self) -> list[Received]:
            return []

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    reading, writing = os.pipe()
    high = fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, 1500)
    try:
        supervisor._signals = cast("Any", Quiet(high))
        supervisor.rest(0.001)
    finally:
        for descriptor in (reading, writing, high):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_command_that_has_gone_is_no_error(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int, number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", gone)
    supervisor._on_signal(sent(signal.SIGTERM))


@pytest.mark.promise("CLI-01", "CLI-02")
@pytest.mark.parametrize(
    ("wait_status", "status"),
    [(0, 0), (3 << 8, 3), (255 << 8, 255), (signal.SIGKILL, 137), (signal.SIGSEGV | 0x80, 139)],
)
def test_the_commands_end_becomes_a_status(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, wait_status: int, status: int
) -> None:
    class Quiet:
        def read(self) -> list[Received]:
            return []

    monkeypatch.setattr(os, "waitpid", lambda pid, flags: (pid, wait_status))
    monkeypatch.setattr(cgroups, "populated", lambda path: False)
    supervisor._signals = cast("Any", Quiet())
    supervisor._reap()
    assert supervisor.status == status
    assert os.waitstatus_to_exitcode(wait_status) in (status, 128 - status)
