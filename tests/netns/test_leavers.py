"""What leaves a route of the daemon's by another cgroup is told, and ended when strict."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.daemons import ALICE, Daemon, as_user, daemon, for_users
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, run_by, unchanged, until
from tests.netns.test_leaving import ELSEWHERE, LEAVER, line, until_later
from tests.netns.traffic import SERVER

promise = pytest.mark.promise
# It moves itself and is gone at once; what it leaves behind goes on, as an orphan, in a session of its own.
ORPHAN = """
import os, subprocess, sys
with open(f"{sys.argv[1]}/cgroup.procs", "w") as f: f.write("0")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.execvp("sleep", ["sleep", "60"])
os._exit(0)
"""
# Its child is born elsewhere: clone3(2) with CLONE_INTO_CGROUP.
BORN = """
import ctypes, os, sys, time
arguments = (ctypes.c_uint64 * 11)()
arguments[0] = 0x200000000
arguments[4] = 17
arguments[10] = os.open(sys.argv[1], os.O_RDONLY)
pid = ctypes.CDLL(None, use_errno=True).syscall(435, arguments, 88)
if pid == 0:
    os.execvp("sleep", ["sleep", "60"])
print(pid, flush=True)
time.sleep(60)
"""
SCRIPTS = ["$leaver & wait", "setsid -f $leaver; exec sleep 60", "exec $leaver"]

_MAKE = f"mkdir {ELSEWHERE}; chmod a+w /sys/fs/cgroup/cgroup.procs {ELSEWHERE}/cgroup.procs"


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[Lab, Daemon]]:
    """A daemon, and another cgroup to which users may move what is theirs."""
    with Lab(main="both") as lab:
        for name, text in (("leaver", LEAVER), ("orphan", ORPHAN), ("born", BORN)):
            lab.path(f"/tmp/{name}.py").write_text(text)
        lab.sh(_MAKE)
        with unchanged(lab):
            with daemon(lab) as running:
                yield lab, running


@pytest.fixture(autouse=True)
def nobody_left(machine: tuple[Lab, Daemon]) -> Iterator[None]:
    lab, running = machine
    yield
    print(running.log())  # shown where a test fails
    lab.sh(f"echo 1 >{ELSEWHERE}/cgroup.kill")
    until(lambda: not running.ps() and nobody_elsewhere(lab))
    # A new one: after that Linux 6.18 kills whoever is born in it from outside (CLONE_INTO_CGROUP).
    lab.sh(f"rmdir {ELSEWHERE}; {_MAKE}")


@contextmanager
def command(lab: Lab, script: str, *options: str) -> Iterator[Process]:
    """A user's routed shell script; $leaver, $orphan and $born are what leaves. It is ended at the end."""
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        python = stack.enter_context(for_users(lab))
        there = f"{ELSEWHERE} {SERVER[4]} {SERVER[6]}"
        named = "; ".join(f"{n}='{python} /tmp/{n}.py {there}'" for n in ("leaver", "orphan", "born"))
        named += f"; procroute='{python} -m procroute'"
        words = [*as_user(ALICE), *run_by("wan1", *options), "sh", "-c", f"{named}; {script}"]
        process = stack.enter_context(
            lab.machine.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe)
        )
        try:
            yield process
        finally:
            # Under systemd his are in his own part of the tree.
            every = (
                f"$(find /sys/fs/cgroup -path '*/procroute.slice/*/*/cgroup.kill') {ELSEWHERE}/cgroup.kill"
            )
            lab.sh(f"for f in {every}; do if [ -e $f ]; then echo 1 >$f; fi; done")
            process.wait(20 * FACTOR)


def ask(lab: Lab, words: str) -> None:
    """Root asks the daemon, or cleans up."""
    done = procroute(lab, *words.split())
    assert done.returncode == 0, done.stderr


def number(process: Process) -> str:
    """The PID that a script says."""
    return line(process.stdout).strip()


def nobody_elsewhere(lab: Lab) -> bool:
    """Whether the other cgroup is empty: who is ended at once has no time to say its PID."""
    return "populated 0" in lab.path(f"{ELSEWHERE}/cgroup.events").read_text()


def lives(lab: Lab, pid: str) -> bool:
    """Whether it runs: one that has ended may wait for its parent to hear of it."""
    state = lab.run(["ps", "-o", "state=", "-p", pid]).stdout.strip()
    return state not in ("", "Z")


@contextmanager
def watched(lab: Lab, events: list[dict[str, object]]) -> Iterator[None]:
    """Put the events of `procroute watch` that tell of leavers into a list, at the end."""
    with tempfile.TemporaryFile("w+") as out:
        with lab.machine.popen([*PROCROUTE, "watch", "--json"], env=ENVIRONMENT, stdout=out) as process:
            try:
                until(lambda: "watching" in read(out.fileno()), what="watch")
                yield
                until(lambda: '"left"' in read(out.fileno()), what="the event")
            finally:
                process.terminate()
                process.wait(10 * FACTOR)
        found = [json.loads(text) for text in read(out.fileno()).splitlines()]
        events += [event for event in found if event["event"] == "left"]


def read(descriptor: int) -> str:
    return os.pread(descriptor, 1 << 20, 0).decode()


@promise("LEFT-01")
@pytest.mark.parametrize("script", SCRIPTS, ids=["child", "orphan", "itself"])
def test_one_that_leaves_is_told(machine: tuple[Lab, Daemon], script: str) -> None:
    lab, running = machine
    events: list[dict[str, object]] = []
    before = len(running.log())
    with watched(lab, events), command(lab, script) as process:
        pid = number(process)
        took = until(lambda: f"(pid {pid}) left the route" in running.log()[before:])
        assert lives(lab, pid)
    assert took < 1 * FACTOR
    said = running.log()[before:]
    assert "left the route for the cgroup /elsewhere\n" in said
    hint = r"what is started so stays: systemd-run( --user)? --scope --slice=procroute-wan1\.slice CMD\n"
    assert re.search(f"hint: {hint}", said)
    (event,) = events
    assert event["process"]["pid"] == int(pid)  # type: ignore[index]
    assert (event["cgroup"], event["ended"]) == ("/elsewhere", False)


@promise("LEFT-02")
@pytest.mark.parametrize("script", SCRIPTS, ids=["child", "orphan", "itself"])
def test_one_that_leaves_a_strict_route_is_ended(machine: tuple[Lab, Daemon], script: str) -> None:
    lab, running = machine
    before = len(running.log())
    with command(lab, script, "--strict"):
        until(lambda: "left the route for the cgroup /elsewhere: ended" in running.log()[before:])
        until(lambda: nobody_elsewhere(lab), what="its end")
        lab.settle()
        lab.clear()
        until_later(lab)
        assert not [p for p in lab.wan2.packets() if p.destination_port == 9]


@promise("LEFT-02")
def test_that_it_would_have_been_seen_on_the_other_adapter(machine: tuple[Lab, Daemon]) -> None:
    """Negative control: what left and is not ended does leave by the other adapter, in both families."""
    lab, running = machine
    before = len(running.log())
    with command(lab, "$leaver & wait") as process:
        number(process)
        until(lambda: "left the route" in running.log()[before:])
        lab.clear()
        until(
            lambda: {4, 6} == {p.family for p in lab.wan2.packets() if p.destination_port == 9},
            what="packets by wan2",
        )


@promise("LEFT-02")
@pytest.mark.parametrize("script", ["$orphan; sleep 60", "$born"], ids=["orphan", "born"])
def test_what_the_leaver_starts_elsewhere_is_ended_too(machine: tuple[Lab, Daemon], script: str) -> None:
    """Though by then nobody of the assignment is above it, or it never was in there."""
    lab, running = machine
    before = len(running.log())
    with command(lab, script, "--strict"):
        until(lambda: "left the route for the cgroup /elsewhere" in running.log()[before:])
        until(lambda: nobody_elsewhere(lab), what="its end")
        until_later(lab)
        assert nobody_elsewhere(lab)


@promise("LEFT-02")
def test_what_a_manager_moves_is_ended_too(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    before = len(running.log())
    with command(lab, "sleep 61 & echo $!; wait", "--strict") as process:
        pid = number(process)
        lab.sh(f"echo {pid} >{ELSEWHERE}/cgroup.procs")
        until(lambda: not lives(lab, pid), what="its end")
    assert f"(pid {pid}) left the route" in running.log()[before:]


@promise("LEFT-03")
def test_who_is_let_go_has_not_left(machine: tuple[Lab, Daemon]) -> None:
    """By release, or to another route; nor does what it starts from then on."""
    lab, running = machine
    before = len(running.log())
    with command(lab, "sleep 61 & echo $!; exec sleep 60", "--strict") as process:
        pid = number(process)
        (mine,) = running.ps()
        ask(lab, f"assign --via wan2 --strict {pid}")
        ask(lab, f"release %{mine['id']}")
        other = next(p for p in lab.sh("pgrep -x sleep").split() if p != pid)
        until(lambda: [a["route"] for a in running.ps()] == ["wan2~strict"])
        lab.sh(f"echo {other} >{ELSEWHERE}/cgroup.procs")
        until_later(lab)
        assert lives(lab, pid)
        assert lives(lab, other)
        assert "left the route" not in running.log()[before:]
        # It has a route of its own now, which is strict as well.
        lab.sh(f"echo {pid} >{ELSEWHERE}/cgroup.procs")
        until(lambda: not lives(lab, pid), what="its end")
        assert "(wan2~strict)" in running.log()[before:]


@promise("LEFT-03")
def test_who_is_below_or_on_a_route_of_its_own_has_not_left(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    before = len(running.log())
    script = "$procroute run --via wan2 -- sh -c 'echo $$; exec sleep 60' & wait"
    with command(lab, script, "--strict") as process:
        pid = number(process)
        parent = lab.sh(f"ps -o ppid= -p {pid}").strip()
        place = f"/sys/fs/cgroup$(sed -n s/^0:://p /proc/{parent}/cgroup)/below"
        lab.sh(f'd="{place}"; mkdir "$d"; echo {parent} >"$d/cgroup.procs"')
        until_later(lab)
        assert lives(lab, pid)
        assert lives(lab, parent)
        assert "left the route" not in running.log()[before:]


@promise("LEFT-03")
def test_a_forced_cleanup_takes_them_out_on_purpose(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    before = len(running.log())
    with command(lab, "sleep 61 & echo $!; wait", "--strict") as process:
        pid = number(process)
        ask(lab, "cleanup --force")
        until(lambda: not running.ps())
        until_later(lab)
        assert lives(lab, pid)
        lab.sh(f"kill {pid}")
        process.terminate()
    assert "left the route" not in running.log()[before:]


@promise("LEFT-04")
def test_while_others_move_the_daemon_sleeps(machine: tuple[Lab, Daemon]) -> None:
    """Bystanders that are moved to and fro, and fork, wake nobody."""
    lab, running = machine
    threads = Path(f"/proc/{running.process.command_pid()}/task")

    def woken() -> int:
        texts = [(thread / "status").read_text() for thread in threads.iterdir()]
        return sum(int(re.findall(r"\nvoluntary_ctxt_switches:\t(\d+)", text)[0]) for text in texts)

    with command(lab, "sleep 61 & echo $!; wait", "--strict") as process:
        number(process)
        time.sleep(1 * FACTOR)
        before = woken()
        moves = f"echo $$ >{ELSEWHERE}/cgroup.procs; echo $$ >/sys/fs/cgroup/cgroup.procs; /bin/true"
        lab.sh(f"sh -c 'for i in $(seq 100); do {moves}; done'", timeout=60)
        assert woken() - before < 20


@promise("LEFT-05")
def test_the_next_daemon_watches_whom_it_takes_over(tmp_path: object) -> None:
    with Lab(main="both") as lab:
        lab.path("/tmp/leaver.py").write_text(LEAVER)
        lab.sh(f"mkdir {ELSEWHERE}")
        with ExitStack() as stack:
            first = stack.enter_context(daemon(lab))
            process = stack.enter_context(command(lab, "sleep 61 & echo $!; wait", "--strict"))
            pid = number(process)
            first.kill()
            with daemon(lab):
                lab.sh(f"echo {pid} >{ELSEWHERE}/cgroup.procs")
                until(lambda: not lives(lab, pid), what="its end")


@promise("LEFT-06")
def test_where_the_kernel_does_not_tell_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab(main="both") as lab:
        seen = procroute(lab, "status", "--json").stdout
        assert "leavers-unseen" not in seen
        monkeypatch.setenv("PROCROUTE_NO_BPF", "1")
        with daemon(lab) as running:
            assert "does not tell who leaves a route" in running.log()
            told = json.loads(procroute(lab, "status", "--json").stdout)["limits"]
            assert "leavers-unseen" in {limit["id"] for limit in told}
