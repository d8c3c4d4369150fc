"""A command that hands its work to a process which runs already, placed by the daemon: said at a terminal."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.daemons import ALICE, BOB, Daemon, as_user, daemon, for_users
from tests.netns.running import ENVIRONMENT, run_by, until
from tests.netns.terminal import PROMPT, Terminal
from tests.netns.test_single import SINGLE

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def placing() -> Iterator[Daemon]:
    """In a machine with a program of which one runs at a time."""
    with Lab() as lab, for_users(lab) as python, daemon(lab) as running:
        single = lab.path("/tmp/single")
        single.write_text(re.sub("^#!.*", f"#!{python}", SINGLE))
        single.chmod(0o755)
        yield running


@contextmanager
def first(lab: Lab, user: int, *command: str) -> Iterator[str]:
    """The PID of one that runs already."""
    words = [*as_user(user), *(command or ["/tmp/single"])]
    with lab.machine.popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        try:
            if not command:
                assert process.stdout
                assert process.stdout.readline() == "first\n"
            search = [
                "pgrep",
                "-u",
                str(user),
                "-o",
                "-f",
                f"^{' '.join(command)}$" if command else "[/]tmp/single$",
            ]
            until(lambda: lab.run(search).returncode == 0)
            yield lab.run(search).stdout.strip()
        finally:
            process.kill()
            process.wait(10)
            lab.path("/tmp/single.sock").unlink(missing_ok=True)


def typed(user: int, *command: str, options: tuple[str, ...] = ()) -> str:
    return " ".join([*as_user(user), *run_by("wan1", *options), *command])


def nobody_waits(lab: Lab) -> bool:
    """Whether all of `run` has become its command, or ended."""
    return lab.run(["pgrep", "-f", "procroute run"]).returncode == 1


def said_after(terminal: Terminal, lab: Lab, command: str) -> str:
    """All that a command and whatever waited for it have printed."""
    said = terminal.do(command)
    until(lambda: nobody_waits(lab))
    return said + terminal.do(":")


@promise("SINGLE-03")
@pytest.mark.parametrize(
    ("user", "options"),
    [(ALICE, ()), (ALICE, ("--strict",)), (0, ())],
    ids=["a user's", "a user's, strict", "root's"],
)
def test_a_second_one_is_told_of_the_first(placing: Daemon, user: int, options: tuple[str, ...]) -> None:
    lab = placing.lab
    with Terminal(lab) as terminal, first(lab, user) as pid:
        terminal.type(typed(user, "/tmp/single", options=options) + "\n")
        strict = "--strict " if options else ""
        terminal.see(PROMPT)
        terminal.see(rf"\nprocroute: CMD has ended .*\(pid {pid}\), which ran before, may do its work")
        terminal.see(f"hint: procroute assign --via wan1 {strict}{pid} puts that on the route\n")
        until(lambda: nobody_waits(lab))


@promise("SINGLE-04")
@pytest.mark.parametrize("word", ["net", "fail"])
def test_one_that_made_a_socket_or_failed_has_done_its_own_work(placing: Daemon, word: str) -> None:
    with Terminal(placing.lab) as terminal, first(placing.lab, ALICE):
        assert said_after(terminal, placing.lab, typed(ALICE, "/tmp/single", word)) == ""


@promise("SINGLE-04")
def test_nothing_is_said_of_what_just_ends_nor_of_another_users(placing: Daemon) -> None:
    lab = placing.lab
    with Terminal(lab) as terminal, first(lab, BOB, "sleep", "60"), first(lab, ALICE):
        for command in (["true"], ["sh", "-c", "exit"], ["sleep", "0.1"], ["/no/such/command"]):
            said = said_after(terminal, lab, typed(ALICE, *command))
            assert said == "" or "command not found" in said


@promise("SINGLE-04")
def test_who_waits_is_on_no_route_and_hinders_nobody(placing: Daemon) -> None:
    """Neither who reads a pipe of the command's, nor the end of its assignment; ^C is the command's alone."""
    lab = placing.lab
    with Terminal(lab) as terminal, first(lab, ALICE, "sleep", "60") as pid:
        terminal.type(typed(ALICE, "sleep", str(5 * FACTOR)) + " | cat\n")
        until(lambda: len(placing.ps()) == 1)
        (one,) = placing.ps()
        assert [process["name"] for process in one["processes"]] == ["sleep"]
        waiting = lab.run(["pgrep", "-f", "procroute run"]).stdout.split()
        assert len(waiting) == 1
        assert lab.sh(f"ps -o ppid= -p {waiting[0]}").strip() == "1"
        assert lab.sh(f"ls /proc/{waiting[0]}/fd").split()[0] == "2"
        terminal.type("\x03")
        terminal.see(PROMPT)
        until(lambda: not placing.ps() and nobody_waits(lab))
        assert terminal.do("sleep 0.2") == ""
        assert pid


@promise("SINGLE-04")
def test_where_nobody_would_read_it_nobody_waits(placing: Daemon) -> None:
    lab = placing.lab
    with first(lab, ALICE):
        done = lab.run([*as_user(ALICE), *run_by("wan1"), "/tmp/single"], env=ENVIRONMENT)
        assert (done.returncode, done.stderr) == (0, "")
        assert nobody_waits(lab)
