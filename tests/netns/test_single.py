"""A command that hands its work to a process which runs already: `run` says so, and how to route that."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from tests.netns.running import ENVIRONMENT, run, until

promise = pytest.mark.promise
# The first of them listens and stays; a later one tells it what to do, and ends. With "net" it makes a socket
# of its own as well, with "fail" it ends badly.
SINGLE = f"""#!{sys.executable}
import os, socket, sys, time
there = socket.socket(socket.AF_UNIX)
if there.connect_ex("/tmp/single.sock") == 0:
    there.sendall(b"a window, please")
    if "net" in sys.argv:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sys.exit(3 if "fail" in sys.argv else 0)
there.bind("/tmp/single.sock")
there.listen()
print("first", flush=True)
while True:
    other, _ = there.accept()
    other.recv(100)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.path("/tmp/single").write_text(SINGLE)
        lab.path("/tmp/single").chmod(0o755)
        yield lab


@contextmanager
def running(lab: Lab, *command: str) -> Iterator[Process]:
    """A bystander, while the block lasts."""
    with lab.machine.popen(list(command), env=ENVIRONMENT, stdout=-1) as process:
        try:
            if command[0] == "/tmp/single":
                assert process.stdout
                assert process.stdout.readline() == "first\n"
            yield process
        finally:
            process.kill()
            process.wait(10)
            lab.path("/tmp/single.sock").unlink(missing_ok=True)


def pid_of(lab: Lab, what: str) -> str:
    return lab.sh(f"pgrep -o -f '{what}'").strip()


@promise("SINGLE-01")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
def test_a_second_one_is_told_of_the_first(lab: Lab, options: tuple[str, ...]) -> None:
    with running(lab, "/tmp/single"):
        pid = pid_of(lab, "[/]tmp/single$")
        done = run(lab, "wan1", "/tmp/single", options=options)
    assert done.returncode == 0
    assert f"(pid {pid}), which ran before, may do its work, on its own route\n" in done.stderr
    strict = "--strict " if options else ""
    assert f"hint: procroute assign --via wan1 {strict}{pid} puts that on the route\n" in done.stderr


@promise("SINGLE-02")
@pytest.mark.parametrize("word", ["net", "fail"])
def test_one_that_made_a_socket_or_failed_has_done_its_own_work(lab: Lab, word: str) -> None:
    with running(lab, "/tmp/single"):
        done = run(lab, "wan1", "/tmp/single", word)
    assert (done.returncode, done.stderr) == (3 if word == "fail" else 0, "")


@promise("SINGLE-02")
def test_another_user_s_is_another(lab: Lab) -> None:
    with running(lab, "setpriv", "--reuid=1000", "--clear-groups", "sleep", "60"):
        until(lambda: lab.run(["pgrep", "-u", "1000", "sleep"]).returncode == 0)
        done = run(lab, "wan1", "sleep", "0.1")
    assert (done.returncode, done.stderr) == (0, "")


@promise("SINGLE-02")
def test_nothing_is_said_of_what_just_ends(lab: Lab) -> None:
    """`true`; shells and interpreters, of which there are others; and what came later than the command."""
    with running(lab, "/tmp/single"), running(lab, "sh", "-c", "sleep 60; true"):
        for command in (["true"], ["sh", "-c", "exit"], [sys.executable, "-c", "pass"]):
            done = run(lab, "wan1", *command)
            assert (done.returncode, done.stderr) == (0, "")


@promise("SINGLE-02")
def test_that_the_same_program_would_be_named(lab: Lab) -> None:
    """The other side of the tests above: a `sleep` of the same user is named."""
    with running(lab, "sleep", "60"):
        until(lambda: lab.run(["pgrep", "-x", "sleep"]).returncode == 0)
        assert "which ran before" in run(lab, "wan1", "sleep", "0.1").stderr
