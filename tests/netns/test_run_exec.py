"""An exec that takes its time: a file system that hangs, a virus scanner that is asked first.

Only the command waits. Others run as ever, and signals end it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT, cgroups, run, run_by, unchanged

# It is asked before /run/command is executed, says so, and answers when it is told to.
_SCANNER = """
import ctypes, os, shutil, struct, sys
shutil.copy("/bin/true", "/run/command")
libc = ctypes.CDLL(None, use_errno=True)
asked = libc.fanotify_init(4, 0)
OPEN_EXEC_PERM = 0x40000
if libc.fanotify_mark(asked, 1, ctypes.c_uint64(OPEN_EXEC_PERM), -100, b"/run/command"):
    sys.exit(os.strerror(ctypes.get_errno()))
print("ready", flush=True)
event = struct.unpack("=IBBHQii", os.read(asked, 24))
print("asked", flush=True)
sys.stdin.readline()
os.write(asked, struct.pack("=iI", event[5], 1))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@contextmanager
def hanging(lab: Lab) -> Iterator[tuple[Process, Process]]:
    """A run whose command waits for a scanner, and that scanner."""
    pipe = subprocess.PIPE
    scanner = lab.popen([sys.executable, "-S", "-c", _SCANNER], stdin=pipe, stdout=pipe)
    assert scanner.stdout
    assert scanner.stdout.readline() == "ready\n"
    waiting = lab.popen([*run_by("wan1"), "/run/command"], env=ENVIRONMENT, stderr=pipe)
    assert select.select([scanner.stdout], [], [], 20 * FACTOR)[0], "the command is not executed"
    assert scanner.stdout.readline() == "asked\n"
    try:
        yield waiting, scanner
    finally:
        scanner.communicate("go\n", 10)
        lab.sh("rm /run/command")


@pytest.mark.promise("CLI-13", "CLI-14", "CLI-01")
def test_others_run_meanwhile_and_it_runs_when_it_may(lab: Lab) -> None:
    with unchanged(lab), hanging(lab) as (waiting, scanner):
        for adapter in ("wan1", "wan2"):
            assert run(lab, adapter, "true", timeout=10).returncode == 0
        assert waiting.poll() is None
        assert scanner.stdin
        scanner.stdin.write("go\n")
        scanner.stdin.flush()
        assert waiting.communicate(timeout=10)[1] == ""
        assert waiting.returncode == 0


@pytest.mark.promise("CLI-02", "CLI-06")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_signals_end_it(lab: Lab, number: signal.Signals) -> None:
    with unchanged(lab), hanging(lab) as (waiting, _):
        os.kill(waiting.command_pid(), number)
        assert waiting.communicate(timeout=10)[1] == ""
        assert waiting.returncode == 128 + number
        assert not cgroups(lab)


@pytest.mark.promise("KILL-01", "CLI-13")
def test_an_engine_that_is_killed_meanwhile_leaves_no_lock_behind(lab: Lab) -> None:
    with hanging(lab) as (waiting, _):
        os.kill(waiting.command_pid(), signal.SIGKILL)
        waiting.wait(10)
        assert waiting.stderr
        waiting.stderr.close()
        assert run(lab, "wan2", "true", timeout=10).returncode == 0
    lab.run([*run_by("wan2"), "true"], env=ENVIRONMENT)
