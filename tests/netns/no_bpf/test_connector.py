"""The kernel's process connector: what it tells, and what it does where it cannot tell all.

It speaks to no lab: of processes as this machine counts them, to this process.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from procroute.core.census import Life
from procroute.kernel import connector
from procroute.kernel.connector import Connector
from procroute.lab import Lab
from tests.netns.daemons import daemon
from tests.netns.inhabitants import PROBE, commanded
from tests.netns.ruled import pid_of, placed_by, rule, write
from tests.netns.running import until
from tests.netns.traffic import FAMILIES, astray

promise = pytest.mark.promise
_CHANGES = {
    "exec": "os.execv(sys.executable, [sys.executable, '-c', 'input()'])",
    "name": "open('/proc/self/comm', 'w').write('other')",
    "user": "os.setuid(1000)",
    "group": "os.setgid(1000)",
}


@pytest.fixture
def heard() -> Iterator[Connector]:
    """What listens."""
    with closing(Connector()) as made:
        yield made


def await_told(listening: Connector, pid: int, *, ended: bool = False) -> None:
    """It is told of this process."""

    def told() -> bool:
        return Life(pid, 0, ended=ended) in (listening.read() or ())

    until(told, what=f"news of {pid}")


@promise("RULE-35")
@pytest.mark.parametrize("change", ["exec", "name", "user", "group"])
def test_it_tells_who_comes_changes_and_ends(heard: Connector, change: str) -> None:
    words = [sys.executable, "-S", "-c", f"import os, sys; input(); {_CHANGES[change]}; input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as one:
        assert one.stdin
        await_told(heard, one.pid)
        until(lambda: _waits(one.pid))
        while heard.read():
            pass  # of its beginning
        one.stdin.write("\n")
        one.stdin.flush()
        await_told(heard, one.pid)
        one.send_signal(signal.SIGKILL)
        await_told(heard, one.pid, ended=True)


def _waits(pid: int) -> bool:
    """Whether it sleeps, until somebody writes to it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@promise("RULE-35")
def test_where_it_cannot_tell_all_it_says_so_and_goes_on() -> None:
    with closing(Connector(room=4096)) as listening:
        for _ in range(100):
            subprocess.run(["true"], check=True)
        assert listening.read() is None
        with subprocess.Popen(["sleep", "60"]) as one:
            await_told(listening, one.pid)
            one.kill()


@promise("RULE-35")
def test_where_it_does_not_speak_that_is_noticed_at_once() -> None:
    """In other namespaces, as a lab's."""
    words = "from procroute.kernel import connector; print(connector.listen())"
    with Lab() as lab:
        assert lab.run([sys.executable, "-c", words], check=True).stdout == "None\n"
    found = connector.listen()
    assert found is not None
    found.close()


@promise("RULE-35")
@pytest.mark.parametrize("family", FAMILIES)
def test_where_nobody_tells_everybody_is_looked_at(family: int) -> None:
    with Lab(main="both") as lab:
        path = write(lab, rule('command = "*marker=a *"'))
        with daemon(lab) as running:
            assert "look once a second" in running.log()
            with commanded(lab, [sys.executable, "-X", "marker=a", *PROBE[1:]]) as command:
                until(lambda: placed_by(running) == [f"{path}:1"], 5, pid_of(command))
                assert not astray(lab, command, "tcp", family, lab.wan1)
