"""What leaves its route by another cgroup is named at once, and ended when strict."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT, ours, run, run_by, unchanged, until
from tests.netns.traffic import SERVER

# Moves itself to the cgroup of argv[1], says so, and sends datagrams from new sockets.
LEAVER = """
import os, socket, sys, time
print(os.getpid(), flush=True)  # first: where that is strict it is ended at once
with open(f"{sys.argv[1]}/cgroup.procs", "w") as f: f.write("0")
while True:
    for family, address in ((socket.AF_INET, sys.argv[2]), (socket.AF_INET6, sys.argv[3])):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            try: s.sendto(b"x", (address, 9))
            except OSError: pass
    time.sleep(0.01)
"""
ELSEWHERE = "/sys/fs/cgroup/elsewhere"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.path("/tmp/leaver.py").write_text(LEAVER)
        yield lab


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    """Each test leaves the machine as it was; another cgroup is there meanwhile."""
    with unchanged(lab):
        lab.sh(f"mkdir {ELSEWHERE}")
        try:
            yield
        finally:
            lab.sh(f"echo 1 >{ELSEWHERE}/cgroup.kill")
            until(lambda: lab.sh(f"grep -c 'populated 0' {ELSEWHERE}/cgroup.events || true").strip() == "1")
            lab.sh(f"rmdir {ELSEWHERE}")


@contextmanager
def running(lab: Lab, script: str, *options: str, env: dict[str, str] | None = None) -> Iterator[Process]:
    """A routed shell script; $leaver starts what leaves. It is ended at the end."""
    pipe = subprocess.PIPE
    leaver = f"{sys.executable} /tmp/leaver.py {ELSEWHERE} {SERVER[4]} {SERVER[6]}"
    words = [*run_by("wan1", *options), "sh", "-c", f"leaver='{leaver}'; {script}"]
    with lab.machine.popen(
        words, env=ENVIRONMENT | (env or {}), stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        try:
            yield process
        finally:
            lab.sh(f"echo 1 >{ELSEWHERE}/cgroup.kill")
            process.terminate()
            process.wait(10)
    assert not ours(lab)


def line(stream: object) -> str:
    text: str = stream.readline()  # type: ignore[attr-defined]
    return text


@pytest.mark.promise("ESC-01")
@pytest.mark.parametrize("script", ["$leaver & wait", "setsid -f $leaver; exec sleep 60", "exec $leaver"])
def test_one_that_leaves_is_named(lab: Lab, script: str) -> None:
    """A child, an orphan, and CMD itself."""
    with running(lab, script) as process:
        pid = line(process.stdout).strip()
        began = time.monotonic()
        told = line(process.stderr)
        took = time.monotonic() - began
        assert re.fullmatch(
            rf"procroute: python\S* \(pid {pid}\) left the route for the cgroup /elsewhere\n", told
        ), told
        assert took < 1 * FACTOR
        assert line(process.stderr) == (
            "procroute: hint: what is started so stays:"
            " systemd-run --scope --slice=procroute-wan1.slice CMD\n"
        )
        lab.sh(f"kill -0 {pid}")


@pytest.mark.promise("ESC-02")
@pytest.mark.parametrize("script", ["$leaver & wait", "setsid -f $leaver; exec sleep 60", "exec $leaver"])
def test_one_that_leaves_a_strict_route_is_ended(lab: Lab, script: str) -> None:
    with running(lab, script, "--strict") as process:
        pid = line(process.stdout).strip()
        assert f"(pid {pid}) left the route for the cgroup /elsewhere: ended" in line(process.stderr)
        until(lambda: lab.run(["kill", "-0", pid]).returncode != 0, what="its end")
        lab.settle()
        lab.clear()
        until_later(lab)
        assert not lab.wan2.packets()


@pytest.mark.promise("ESC-02")
def test_one_that_leaves_as_the_command_ends_is_ended_too(lab: Lab) -> None:
    """It takes one of its own out and is gone at once, before `run` would have looked."""
    script = f"sleep 60 >/dev/null 2>&1 & echo $!; echo $! >{ELSEWHERE}/cgroup.procs"
    with running(lab, script, "--strict") as process:
        pid = line(process.stdout).strip()
        process.wait(10)
        assert lab.run(["kill", "-0", pid]).returncode != 0
        assert process.stderr
        assert "left the route" in process.stderr.read()


@pytest.mark.promise("ESC-01")
def test_that_it_would_have_been_seen_on_the_other_adapter(lab: Lab) -> None:
    """Negative control: what left and is not ended does leave by the machine's own adapter."""
    with running(lab, "$leaver & wait") as process:
        line(process.stdout)
        line(process.stderr)
        lab.clear()
        until_later(lab)
        assert lab.wan2.packets()


def until_later(lab: Lab) -> None:
    time.sleep(0.3 * FACTOR)
    lab.settle()


@pytest.mark.promise("ESC-01", "ESC-02")
@pytest.mark.parametrize("options", [(), ("--strict",)])
def test_who_stays_or_runs_by_another_route_is_left_alone(lab: Lab, options: tuple[str, ...]) -> None:
    """Also in a cgroup of its own below the assignment, and with a `run` in the command."""
    inner = " ".join(run_by("wan2"))
    own = "d=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/below"
    below = "mkdir $d; (echo 0 >$d/cgroup.procs; sleep 0.5); rmdir $d"
    script = f"{own}; {below}; {inner} sleep 0.5; setsid sleep 0.2"
    done = run(lab, "wan1", "sh", "-c", script, options=options)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.promise("ESC-01")
def test_cleanup_takes_them_out_on_purpose(lab: Lab) -> None:
    with running(lab, "sleep 60 & echo $!; wait", "--strict") as process:
        pid = line(process.stdout).strip()
        lab.sh(f"{sys.executable} -m procroute cleanup --force")
        until_later(lab)
        lab.sh(f"kill -0 {pid}; kill {pid}")
        process.wait(10)
        assert process.stderr
        said = process.stderr.read()
        assert "left the route" not in said
        assert said.count("a forced cleanup took the route away") == 1


@pytest.mark.promise("ESC-03")
def test_without_news_of_moves_it_is_seen_within_three_seconds(lab: Lab) -> None:
    with running(lab, "sleep 0.3; $leaver & wait", env={"PROCROUTE_NO_BPF": "1"}) as process:
        line(process.stdout)
        left = time.monotonic()
        assert "left the route" in line(process.stderr)
        assert time.monotonic() - left < 3 * FACTOR


@pytest.mark.promise("ESC-04")
def test_what_would_not_be_routed_is_refused(lab: Lab) -> None:
    done = run(lab, "wan1", "systemd-run", "--scope", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("procroute: systemd-run leaves the route for a scope of its own\n")
    assert "systemd-run --scope --slice=procroute-wan1.slice CMD" in done.stderr


@pytest.mark.promise("ESC-04")
def test_what_is_routed_in_part_is_said(lab: Lab) -> None:
    lab.sh("printf '#!/bin/sh\nexit 3\n' >/tmp/gtk-launch; chmod +x /tmp/gtk-launch")
    done = run(lab, "wan1", "/tmp/gtk-launch", "firefox")
    assert done.returncode == 3
    assert "gtk-launch may hand the work to the desktop" in done.stderr
