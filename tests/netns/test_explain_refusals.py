"""`procroute explain`: what it refuses, and whom."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(main="both") as lab:
        yield lab


@promise("EXPLAIN-04", "ERR-08")
@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (("999999",), "there is no process 999999", "ps(1)"),
        (("0",), "there is no process 0", "ps(1)"),
        (("99999999999",), "there is no process 99999999999", "ps(1)"),
        (("nothing.service",), "no unit nothing.service has a cgroup here", "systemctl status"),
        (("../etc",), "'../etc' is no name of a unit", "give a PID"),
        (("1", "example.org"), "example.org is no address", "getent"),
        (("1", "192.0.2.300"), "192.0.2.300 is no address", "getent"),
        (("1", "fe80::1"), "fe80::1 is on every link", "fe80::1%ADAPTER"),
        (("1", "fe80::1%wan9"), "there is no adapter wan9", "procroute adapters"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_a_hint(
    lab: Lab, words: tuple[str, ...], says: str, hint: str
) -> None:
    done = procroute(lab, "explain", *words)
    assert (done.returncode, done.stdout) == (125, "")
    message, hinted = done.stderr.splitlines()
    assert message == f"procroute: {says}"
    assert hint in hinted


@promise("EXPLAIN-04")
def test_threads_and_zombies_are_told_from_processes(lab: Lab) -> None:
    script = (
        "import os,sys,threading\n"
        "threading.Thread(target=sys.stdin.readline).start()\n"
        "child = os.fork() or os._exit(0)\n"
        "os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n"
        "tid = max(map(int, os.listdir('/proc/self/task')))\n"
        "print(os.getpid(), tid, child, flush=True)\n"
    )
    words = [sys.executable, "-S", "-c", script]
    with lab.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        pid, tid, child = process.stdout.readline().split()
        assert f"{tid} is a thread of process {pid}" in procroute(lab, "explain", tid).stderr
        assert f"process {child} has ended (a zombie)" in procroute(lab, "explain", child).stderr
        process.stdin.write("\n")


@promise("EXPLAIN-04", "ERR-04")
def test_it_is_for_root(lab: Lab) -> None:
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
    done = lab.run([*nobody, *PROCROUTE, "explain", "1"], env=ENVIRONMENT)
    assert done.returncode == 125
    assert done.stderr == (
        "procroute: only root may explain while no procrouted runs: "
        "there is no /run/procroute/procroute.sock\n"
        "  hint: sudo procroute explain 1; or start it: sudo procroute daemon; "
        "or by systemd, from boot on: sudo procroute service install\n"
    )


@promise("EXPLAIN-04")
def test_a_process_that_ends_meanwhile_costs_no_traceback(lab: Lab) -> None:
    for _ in range(3):
        done = lab.run(
            ["sh", "-c", 'sleep 0.25 & exec "$@" explain $!', "sh", *PROCROUTE], env=ENVIRONMENT, timeout=30
        )
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 125)
