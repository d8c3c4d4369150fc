"""Ctrl-C and other sudden ends while a lab is being made: at once, in silence, and nobody is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab.machine import PACKAGE_ROOT
from tests.lab.ends import gone

DELAYS = [step / 40 for step in range(17)]
"""Seconds from the first line of `demo`: from its keeper's start to the first command in the lab."""


@contextmanager
def demo_begun() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that has said its first line, and a word that stands in the environment of all its processes."""
    word = f"DEMO_OF={uuid.uuid4().hex}"
    name, _, value = word.partition("=")
    with subprocess.Popen(
        [sys.executable, "-m", "procroute", "demo"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, name: value},
        start_new_session=True,
    ) as process:
        assert process.stderr
        assert "making a machine" in process.stderr.readline()
        yield process, word


@pytest.mark.promise("DEMO-03")
@pytest.mark.parametrize("delay", DELAYS)
def test_an_interrupted_demo_ends_at_once_and_leaves_nobody(delay: float) -> None:
    with demo_begun() as (process, word):
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130, told
        assert time.monotonic() - began < 5
        assert all(line.startswith("procroute: ") for line in told.splitlines()), told
        gone(word)


@pytest.mark.promise("DEMO-03")
@pytest.mark.parametrize("sent", [(signal.SIGTERM,), (signal.SIGKILL,), (signal.SIGINT, signal.SIGTERM)])
@pytest.mark.parametrize("delay", DELAYS[::4])
def test_a_demo_that_is_ended_otherwise_leaves_nobody(sent: tuple[int, ...], delay: float) -> None:
    with demo_begun() as (process, word):
        time.sleep(delay)
        for number in sent:
            process.send_signal(number)
        _, told = process.communicate(timeout=60)
        assert "Traceback" not in told
        gone(word)


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_keeper_whose_owner_hangs_up_before_the_answer(calls: int) -> None:
    """The child that was asked for then has a channel that nobody holds."""
    node = {"op": "node", "args": {"name": "router1", "number": 1}}
    for _ in range(5):
        mine, its = socket.socketpair()
        with its:
            keeper = subprocess.Popen(
                [
                    sys.executable,
                    "-S",
                    "-s",
                    "-m",
                    "procroute.lab.keeper",
                    str(its.fileno()),
                    str(os.getpid()),
                ],
                pass_fds=[its.fileno()],
                env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
                stderr=subprocess.PIPE,
                text=True,
            )
        with mine:
            mine.sendall((json.dumps(node) + "\n").encode() * calls)
        _, told = keeper.communicate(timeout=20)
        assert (keeper.returncode, told) == (0, "")
