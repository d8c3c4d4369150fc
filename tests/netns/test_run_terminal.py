"""`run` at a terminal: the command is the shell's job as if it had been started directly."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.running import ours, unchanged, until
from tests.netns.terminal import INTERRUPT, PROMPT, QUIT, SUSPEND, Terminal

_WINDOW = """
import os, signal
seen = []
signal.signal(signal.SIGWINCH, lambda *_: seen.append(1))
print("up", flush=True)
input()
print(len(seen), *os.get_terminal_size())
"""
_FOREGROUND = "import os; print(os.tcgetpgrp(0) == os.getpgrp(), os.ttyname(0))"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def terminal(lab: Lab) -> Iterator[Terminal]:
    """A shell in which `python` is ours. Nothing of procroute's is left when it is closed."""
    with unchanged(lab):
        with Terminal(lab) as terminal:
            yield terminal
        until(lambda: not ours(lab), what="the last clean-up")


def words(code: str) -> str:
    """A shell word that holds Python code."""
    return f"{sys.executable} -c '{code}'"


@pytest.mark.promise("CLI-05")
def test_the_command_is_in_the_foreground(terminal: Terminal) -> None:
    direct = terminal.do(words(_FOREGROUND))
    assert terminal.do(f"$run {words(_FOREGROUND)}") == direct
    assert direct.startswith("True /dev/pts/")


@pytest.mark.promise("CLI-05")
def test_the_command_reads_what_is_typed(terminal: Terminal) -> None:
    terminal.type("$run sh -c 'echo up; read line; echo \"<$line>\"'\n")
    terminal.see("up\n")
    terminal.type("hello there\n")
    terminal.see("<hello there>\n" + PROMPT)


@pytest.mark.promise("CLI-05")
def test_terminal_settings_are_the_commands_to_change(terminal: Terminal) -> None:
    terminal.do("$run stty erase x")
    assert "erase = x;" in terminal.do("stty -a")


@pytest.mark.promise("CLI-06")
@pytest.mark.parametrize(("key", "status"), [(INTERRUPT, 130), (QUIT, 131)])
def test_a_key_ends_the_command(terminal: Terminal, key: str, status: int) -> None:
    terminal.do("ulimit -c 0")
    terminal.type("$run sh -c 'echo up; exec sleep 60'\n")
    terminal.see("up\n")
    terminal.type(key)
    terminal.see(PROMPT)
    assert terminal.do("echo status $?") == f"status {status}\n"


@pytest.mark.promise("CLI-06")
def test_a_key_ends_the_shells_loop_too(terminal: Terminal) -> None:
    """bash goes on with its loop unless the job itself died of the signal."""
    terminal.type("for i in 1 2 3; do $run sh -c 'echo up; exec sleep 60'; done\n")
    terminal.see("up\n")
    terminal.type(INTERRUPT)
    assert terminal.see(f"up|{PROMPT}")[0] == PROMPT


_SLOWLY = """
import sys, time
from procroute.engine import run
from procroute.cli.main import main
start = run.Start
def slowly(*words):
    print("starting", flush=True)
    time.sleep(0.5)
    return start(*words)
run.Start = slowly
sys.exit(main(["run", "--via", "wan1", "--", *sys.argv[1:]]))
"""


@pytest.mark.promise("CLI-06")
@pytest.mark.parametrize("key", [INTERRUPT, SUSPEND])
def test_a_key_while_it_starts_is_not_lost(terminal: Terminal, key: str) -> None:
    terminal.type(f"{words(_SLOWLY)} sleep 30\n")
    terminal.see("starting\n")
    terminal.type(key)
    terminal.see(PROMPT)
    if key == INTERRUPT:
        assert terminal.do("echo status $?") == "status 130\n"
        return
    assert "Stopped" in terminal.do("jobs")
    shell = terminal.foreground()
    terminal.type("fg\n")
    until(lambda: terminal.foreground() != shell, what="the job in the foreground")
    terminal.see(r"sleep 30\n")
    terminal.type(INTERRUPT)
    terminal.see(PROMPT)


@pytest.mark.promise("CLI-06")
def test_a_stop_from_elsewhere_is_the_commands(terminal: Terminal, lab: Lab) -> None:
    """`kill -TSTP` of the engine, as of the command itself."""
    terminal.type("$run sh -c 'echo up $PPID; read line; echo \"<$line>\"'\n")
    engine = terminal.see(r"up (\d+)\n")[1]
    lab.sh(f"kill -TSTP {engine}")
    terminal.see(f"Stopped .*\n{PROMPT}")
    terminal.type("fg\n")
    terminal.see(r"run\b.*\n")
    terminal.type("on\n")
    terminal.see(f"<on>\n{PROMPT}")


@pytest.mark.promise("CLI-06")
def test_an_interrupt_reaches_the_command_once(terminal: Terminal) -> None:
    code = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
signal.signal(signal.SIGALRM, lambda *_: sys.exit(10 + len(seen)))
print("up", flush=True)
while not seen: time.sleep(0.01)
signal.setitimer(signal.ITIMER_REAL, 0.2)
while True: time.sleep(1)
"""
    terminal.type(f"$run {words(code)}\n")
    terminal.see("up\n")
    terminal.type(INTERRUPT)
    terminal.see(PROMPT)
    assert terminal.do("echo status $?") == "status 11\n"


@pytest.mark.promise("CLI-06")
def test_a_command_that_ignores_an_interrupt_goes_on(terminal: Terminal) -> None:
    terminal.type('$run sh -c \'trap "" INT; echo up; sleep 0.1; read line; echo "<$line>"\'\n')
    terminal.see("up\n")
    terminal.type(INTERRUPT)
    terminal.type("still here\n")
    terminal.see("<still here>\n" + PROMPT)


@pytest.mark.promise("CLI-06")
def test_it_stops_and_goes_on_in_the_foreground(terminal: Terminal) -> None:
    terminal.type("$run sh -c 'echo up; read line; echo \"<$line>\"'\n")
    terminal.see("up\n")
    terminal.type(SUSPEND)
    terminal.see(r"\[1\]\+  Stopped .*" + f"\n{PROMPT}")
    assert "Stopped" in terminal.do("jobs")
    terminal.type("fg\n")
    terminal.see(r"run\b.*\n")
    terminal.type("again\n")
    terminal.see("<again>\n" + PROMPT)


@pytest.mark.promise("CLI-06")
def test_the_shell_waits_until_the_command_has_stopped(terminal: Terminal) -> None:
    """As editors do, it tidies the screen up before it stops: the shell must not have it back earlier."""
    code = """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
os.write(1, b"up\\n")
signal.sigwait({signal.SIGTSTP})
time.sleep(0.3)
os.write(1, b"tidied\\n")
os.kill(os.getpid(), signal.SIGSTOP)
print("<" + input() + ">")
"""
    terminal.type(f"$run {words(code)}\n")
    terminal.see("up\n")
    terminal.type(SUSPEND)
    before = terminal.see(rf"(?s)(.*){PROMPT}")[1]
    assert "tidied\n" in before
    assert "Stopped" in before
    terminal.type("fg\n")
    terminal.see(r"run\b.*\n")
    terminal.type("again\n")
    terminal.see("<again>\n" + PROMPT)


@pytest.mark.promise("CLI-06")
def test_it_goes_on_in_the_background(terminal: Terminal) -> None:
    # bash forks: dash uses vfork(2), and is not stopped while its stopped child has yet to execute
    terminal.type("$run bash -c 'echo up; sleep 0.5; exit 3'\n")
    terminal.see("up\n")
    terminal.type(SUSPEND)
    terminal.see(f"Stopped .*\n{PROMPT}")
    terminal.do("bg")
    assert "waited 3\n" in terminal.do("wait %1; echo waited $?")


@pytest.mark.promise("CLI-06")
def test_a_command_that_stops_itself_is_seen_as_stopped(terminal: Terminal) -> None:
    terminal.type("$run sh -c 'kill -STOP $$; echo resumed'\n")
    terminal.see(f"Stopped .*\n{PROMPT}")
    terminal.type("fg\n")
    terminal.see(f"resumed\n{PROMPT}")


@pytest.mark.promise("CLI-05", "CLI-06")
def test_a_background_job_that_reads_is_stopped(terminal: Terminal) -> None:
    terminal.type("$run sh -c 'read line; echo \"<$line>\"' &\n")
    terminal.see(PROMPT)
    until(lambda: "Stopped" in terminal.do("jobs"), what="the job's stop")
    terminal.type("fg\n")
    terminal.see(r"run\b.*\n")
    terminal.type("now\n")
    terminal.see(f"<now>\n{PROMPT}")


@pytest.mark.promise("CLI-06")
def test_a_new_window_size_reaches_the_command_once(terminal: Terminal) -> None:
    terminal.type(f"$run {words(_WINDOW)}\n")
    terminal.see("up\n")
    terminal.resize(33, 99)
    terminal.type("\n")
    terminal.see(f"1 99 33\n{PROMPT}")


@pytest.mark.promise("CLI-06")
def test_closing_the_window_ends_the_command(lab: Lab) -> None:
    with unchanged(lab):
        terminal = Terminal(lab)
        terminal.see(PROMPT)
        terminal.type("$run sh -c 'echo up; exec sleep 60'\n")
        terminal.see("up\n")
        assert ours(lab)
        terminal.hang_up()
        until(lambda: not ours(lab), what="the clean-up")


@pytest.mark.promise("CLI-06")
def test_a_stopped_engine_hands_on_what_comes_after(terminal: Terminal, lab: Lab) -> None:
    """A shell's `kill %1` sends TERM and CONT to a stopped job."""
    terminal.type("$run sh -c 'echo up; exec sleep 60'\n")
    terminal.see("up\n")
    terminal.type(SUSPEND)
    terminal.see(f"Stopped .*\n{PROMPT}")
    terminal.do("kill %1")
    until(lambda: not ours(lab), what="the clean-up")
