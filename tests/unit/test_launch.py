"""The child between fork and exec."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procroute.engine import launch


@pytest.mark.promise("KILL-01")
def test_a_child_whose_engine_has_died_runs_nothing_of_ours() -> None:
    """It cannot say what failed, since nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    pid = os.fork()
    if pid == 0:
        try:
            launch._child(launch.Start(["true"], Path("/nowhere"), None, None), frozenset(), writing)
        except BaseException:  # noqa: BLE001 - this is what must not be
            os._exit(7)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125
