"""/proc/PID/stat is read right whatever a process calls itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.kernel.process_stat import stat

_COMM = Path("/proc/self/comm")


@pytest.fixture
def odd_name() -> Iterator[str]:
    before = _COMM.read_text()
    _COMM.write_text("a) Z 1 (b")
    try:
        yield "a) Z 1 (b"
    finally:
        _COMM.write_text(before.rstrip("\n"))


def test_a_name_may_look_like_what_comes_after_it(odd_name: str) -> None:
    found = stat(os.getpid())
    assert (found.name, found.ended) == (odd_name, False)
    assert (found.parent, found.group, found.session) == (os.getppid(), os.getpgrp(), os.getsid(0))
    assert found.stack


def test_one_that_has_ended_is_told_until_its_parent_knows() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = stat(child.pid)
        assert (found.ended, found.parent) == (True, os.getpid())
        assert found.began >= stat(os.getpid()).began
    with pytest.raises(FileNotFoundError):
        stat(child.pid)
