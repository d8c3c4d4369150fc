"""The child between fork and exec."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from procroute.engine import launch
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups


def _nowhere(pid: int) -> Path:
    cgroups.enter(Path("/nowhere"), pid)
    return Path("/nowhere")


def _start(place: Callable[[int], Path] = _nowhere) -> launch.Start:
    lock = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    return launch.Start(["true"], place, None, None, frozenset(), lock)


@pytest.mark.promise("KILL-01")
@pytest.mark.parametrize("fails", [os.close, signal.signal, os.read])
def test_a_child_whose_engine_has_died_runs_nothing_of_ours(fails: Callable[..., object]) -> None:
    """It cannot say what failed, since nobody reads."""

    def fail(*_: object) -> None:
        raise OSError("no")

    reading, writing = os.pipe()
    os.close(reading)
    pid = os.fork()
    if pid == 0:
        try:
            for owner in (os, signal):
                if getattr(owner, fails.__name__, None) is fails:
                    setattr(owner, fails.__name__, fail)
            launch._child(_start(), signal.SIG_DFL, [os.dup(writing)], os.dup(writing), writing)
        except BaseException:  # noqa: BLE001 - this is what must not be
            os._exit(7)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125


@pytest.mark.promise("ERR-08")
def test_a_child_that_does_not_get_to_its_place_says_why() -> None:
    with pytest.raises(ProcrouteError) as caught:
        launch.launch(_start())
    assert caught.value.code == "launch-failed"
    assert "was not started (cgroup): the kernel refused to move a process" in caught.value.message


@pytest.mark.promise("ERR-08")
def test_a_child_that_is_killed_in_its_place_ends_as_that() -> None:
    def die(pid: int) -> Path:
        os.kill(pid, signal.SIGKILL)
        return Path("/nowhere")

    child = launch.launch(_start(die))
    assert os.waitpid(child.pid, 0)[1] == signal.SIGKILL
    assert child.failure() is None


@pytest.mark.promise("KILL-01")
def test_a_child_that_was_not_told_to_go_executes_nothing() -> None:
    """Its engine died before it was in its place."""
    reading, writing = os.pipe()
    waiting, going = os.pipe()
    pid = os.fork()
    if pid == 0:
        launch._child(_start(), signal.SIG_DFL, [going, reading], waiting, writing)
    os.close(going)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125
    assert os.read(reading, 9) == launch._READY
