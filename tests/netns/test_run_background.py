"""What a command leaves running is waited for, kept on its route, and cleaned up after."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT, cgroups, ours, run, run_by, unchanged, until
from tests.netns.terminal import INTERRUPT, PROMPT, Terminal
from tests.netns.traffic import SERVER


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    """Each test leaves the machine as it was."""
    with unchanged(lab):
        yield


def leave(lab: Lab, script: str, before: Sequence[str] = ()) -> Process:
    """A routed shell script, with pipes. before: words that run `procroute`."""
    pipe = subprocess.PIPE
    words = [*before, *run_by("wan1"), "sh", "-c", script]
    return lab.machine.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.promise("CLI-08")
def test_it_waits_for_the_last_process_and_says_so(lab: Lab) -> None:
    with leave(lab, f"sleep {0.6 * FACTOR} >/dev/null 2>&1 & exit 7") as process:
        assert process.stderr
        assert process.stdout
        note = process.stderr.readline()
        assert note.startswith("procroute: waiting for sleep (pid ")
        assert note.endswith(") that the command left running on its route\n")
        assert ours(lab)
        assert process.poll() is None
        assert process.wait(10) == 7
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


@pytest.mark.promise("CLI-08")
def test_it_does_not_wait_aloud_for_what_ends_with_the_command(lab: Lab) -> None:
    done = run(lab, "wan1", "sh", "-c", "sleep 0.01 & exit 3")
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.promise("CLI-08")
def test_one_in_a_session_of_its_own_is_waited_for_too(lab: Lab) -> None:
    with leave(lab, f"setsid -f sleep {0.6 * FACTOR} >/dev/null 2>&1; exit 5") as process:
        assert process.wait(10) == 5
        assert process.stderr
        assert "waiting for sleep" in process.stderr.read()


@pytest.mark.promise("CLI-08", "PATH-09")
@pytest.mark.parametrize("family", [4, 6])
def test_what_is_left_stays_on_the_route(lab: Lab, family: int) -> None:
    """It asks the lab's server after the command has ended and the engine has begun to wait."""
    code = f"""
import os, socket, sys, time
while os.getppid() == int(sys.argv[1]): time.sleep(0.01)
time.sleep(0.2)
print(socket.create_connection(({SERVER[family]!r}, 7000), 3).recv(999).decode())
"""
    lab.clear()
    lab.path("/tmp/late.py").write_text(code)
    done = run(lab, "wan1", "sh", "-c", f"{sys.executable} /tmp/late.py $$ & exit 0")
    lab.settle()
    assert json.loads(done.stdout)["router"] == "wan1"
    assert "waiting for" in done.stderr
    assert not lab.wan2.packets()


@pytest.mark.promise("CLI-08")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_waiting_gives_the_prompt_back(lab: Lab, number: int) -> None:
    """The rest is left to a copy in the background, which still cleans up."""
    with leave(lab, "sleep 60 >/dev/null 2>&1 & echo $!; exit 6") as process:
        assert process.stderr
        assert process.stdout
        left = int(process.stdout.readline())
        process.stderr.readline()
        process.send_signal(number)
        assert process.wait(10) == 6
        assert ours(lab)
        lab.sh(f"kill -0 {left}; kill {left}")
        until(lambda: not ours(lab), what="the clean-up")
        assert process.stderr.read() == ""


@pytest.mark.promise("CLI-08")
def test_what_stays_in_the_background_lets_go_of_the_callers_files(lab: Lab) -> None:
    """A pipeline ends; descriptor 3 is one more of its pipe."""
    more = ["sh", "-c", 'exec 3>&1; exec "$@"', "sh"]
    with leave(lab, "exec 3>&-; sleep 60 >/dev/null 2>&1 & echo $!; exit 6", more) as process:
        assert process.stderr
        assert process.stdout
        left = int(process.stdout.readline())
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 6
        for pipe in (process.stdout, process.stderr):
            ready, _, _ = select.select([pipe], [], [], 5 * FACTOR)
            assert ready
            assert pipe.read() == ""
        assert ours(lab)
        lab.sh(f"kill {left}")
        until(lambda: not ours(lab), what="the clean-up")


@pytest.mark.promise("CLI-06", "CLI-08")
def test_an_interrupt_at_the_terminal_while_waiting(lab: Lab) -> None:
    with Terminal(lab) as terminal:
        terminal.type("$run sh -c 'setsid -f sleep 60 >/dev/null 2>&1; exit 9'\n")
        terminal.see("waiting for .*sleep")
        terminal.type(INTERRUPT)
        terminal.see(PROMPT)
        assert terminal.do("echo status $?") == "status 9\n"
        assert ours(lab)
    (scope,) = [path for path in cgroups(lab) if path.endswith(".scope")]
    lab.sh(f"echo 1 >/sys/fs/cgroup{scope}/cgroup.kill")
    until(lambda: not ours(lab), what="the clean-up")
