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

NOWHERE = launch.Start(["true"], Path("/nowhere"), None, None, frozenset(), -1)


@pytest.mark.promise("KILL-01")
@pytest.mark.parametrize("fails", [os.close, signal.signal, cgroups.enter])
def test_a_child_whose_engine_has_died_runs_nothing_of_ours(fails: Callable[..., object]) -> None:
    """It cannot say what failed, since nobody reads."""

    def fail(*_: object) -> None:
        raise OSError("no")

    reading, writing = os.pipe()
    os.close(reading)
    pid = os.fork()
    if pid == 0:
        try:
            for owner in (os, signal, cgroups):
                if getattr(owner, fails.__name__, None) is fails:
                    setattr(owner, fails.__name__, fail)
            launch._child(NOWHERE, signal.SIG_DFL, os.dup(writing), writing)
        except BaseException:  # noqa: BLE001 - this is what must not be
            os._exit(7)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125


@pytest.mark.promise("ERR-08")
def test_a_child_that_does_not_get_to_its_place_says_why() -> None:
    with pytest.raises(ProcrouteError) as caught:
        launch.launch(NOWHERE)
    assert caught.value.code == "launch-failed"
    assert "was not started (cgroup): the kernel refused to move a process" in caught.value.message


@pytest.mark.promise("ERR-08")
def test_a_child_that_says_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(cgroups, "enter", die)
    with pytest.raises(ProcrouteError, match="it ended with -9"):
        launch.launch(NOWHERE)
