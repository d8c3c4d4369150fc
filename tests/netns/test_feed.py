"""Who watches processes sees them come, change and go; users see no more than they may."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.daemons import ALICE, BOB, Daemon
from tests.netns.inhabitants import without_bpf
from tests.netns.running import ENVIRONMENT, PROCROUTE, until
from tests.netns.watching import Watcher, actor, started, watcher

promise = pytest.mark.promise
_STORM = """
import os, sys, time
print("up", flush=True)
sys.stdin.readline()
for _ in range(2000):
    if not os.fork():
        time.sleep(float(sys.argv[1]))
        os._exit(0)
for _ in range(2000):
    os.wait()
open("/proc/self/comm", "w").write("over")
sys.stdin.readline()
"""

_SNAPSHOT = """
import json, threading, time
from procroute import protocol
from procroute.client import Client
def asked():
    while not over:
        began = time.monotonic()
        other.ask(protocol.Ps())
        waits.append(time.monotonic() - began)
waits, over = [], []
with Client() as other:
    thread = threading.Thread(target=asked)
    thread.start()
    with Client() as client:
        found = client.ask(protocol.Watch(processes=True))
    over.append(True)
    thread.join()
print(json.dumps([len(found.processes), max(waits)]))
"""


@pytest.fixture
def lab(machine: tuple[Lab, Daemon]) -> Lab:
    return machine[0]


def as_in_proc(lab: Lab) -> dict[int, tuple[int, int, str]]:
    """PID -> start time, parent and name of each process of the machine that has not ended."""
    found = {}
    for line in lab.sh("cat /proc/[0-9]*/stat 2>/dev/null || true").splitlines():
        before, _, after = line.rpartition(")")
        pid, _, name = before.partition(" (")
        state, parent, *rest = after.split()
        if state not in "ZX":
            found[int(pid)] = (int(rest[17]), int(parent), name)
    return found


def as_told(seen: Watcher) -> dict[int, tuple[int, int, str]]:
    seen.read()
    return {pid: (p["began"], p.get("parent", 0), p["name"]) for pid, p in seen.people.items()}


def agrees(lab: Lab, seen: Watcher) -> bool:
    """What was told is as in /proc, but for who looks there himself."""
    there, told = as_in_proc(lab), as_told(seen)
    return told.items() <= there.items() and {n for p, (_, _, n) in there.items() if p not in told} <= {
        *("sh", "cat", "nsenter")
    }


@promise("FEED-01")
def test_who_comes_and_goes_is_seen(lab: Lab) -> None:
    with watcher(lab, processes=True) as seen:
        assert seen.people[1]["name"]
        with started(lab, "sleep", "7001"):
            seen.told("7001", name="sleep", user=0)
            assert agrees(lab, seen)
        seen.wait(lambda: not seen.named("7001"))


@promise("FEED-01")
def test_it_is_seen_within_a_second(lab: Lab) -> None:
    """The quickest of five: machines that run tests are busy."""
    took = []
    with watcher(lab, processes=True) as seen:
        for number in map(str, range(7100, 7105)):
            began = time.monotonic()
            with started(lab, "sleep", number):
                seen.told(number, name="sleep")
                took.append(time.monotonic() - began)
    assert min(took) < 1 * FACTOR


@promise("FEED-01")
def test_what_somebody_becomes_is_seen(lab: Lab) -> None:
    """Another name, another program."""
    with watcher(lab, processes=True) as seen, actor(lab, "7002") as act:
        seen.wait(lambda: seen.named("7002"))
        act("name other")
        seen.told("7002", name="other")
        act("exec 7003")
        seen.told("7003", name="sleep", command=["sleep", "7003"])
        assert not seen.named("7002")


@promise("FEED-01")
def test_who_becomes_another_user_is_seen(lab: Lab) -> None:
    """Long after the start, so that nothing else happens to it."""
    with watcher(lab, processes=True) as seen, actor(lab, "7004") as act:
        seen.told("7004", user=0)
        time.sleep(0.5 * FACTOR)
        act(f"user {ALICE}")
        seen.told("7004", user=ALICE)


@promise("FEED-01")
def test_who_is_moved_is_seen_and_so_are_assignments(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    lab.sh("mkdir -p /sys/fs/cgroup/place")
    with watcher(lab, processes=True) as seen, started(lab, "sleep", "7005"):
        seen.told("7005", assignment=0)
        (found,) = seen.named("7005")
        lab.sh(f"echo {found['pid']} >/sys/fs/cgroup/place/cgroup.procs")
        seen.told("7005", cgroup="/place", assignment=0)
        assert not lab.run(
            [*PROCROUTE, "assign", str(found["pid"]), "--via", "wan1"], env=ENVIRONMENT
        ).returncode
        (assigned,) = running.ps()
        seen.told("7005", cgroup=assigned["cgroup"], assignment=assigned["id"])
        assert not lab.run([*PROCROUTE, "release", f"%{assigned['id']}"], env=ENVIRONMENT).returncode
        seen.told("7005", cgroup="/place", assignment=0)


@promise("FEED-01")
def test_orphans_get_their_new_parent(lab: Lab) -> None:
    with watcher(lab, processes=True) as seen, started(lab, "sh", "-c", "(sleep 7006; :) & read x") as parent:
        seen.wait(lambda: seen.named("7006"))
        (before,) = seen.named("7006")
        until(lambda: before["parent"] in seen.people)
        shell = seen.people[before["parent"]]
        assert parent.stdin
        parent.stdin.close()
        seen.wait(lambda: shell["parent"] not in seen.people)
        seen.wait(lambda: seen.people[shell["pid"]]["parent"] != shell["parent"])
        seen.wait(lambda: agrees(lab, seen))
        lab.sh(f"kill {shell['pid']} {before['pid']}")


@promise("FEED-01")
def test_threads_are_no_processes(lab: Lab) -> None:
    script = "import threading, time\n[threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    script += " for _ in range(20)]\nopen('/proc/self/comm', 'w').write('threads')\ntime.sleep(60)"
    with watcher(lab, processes=True) as seen, started(lab, sys.executable, "-S", "-c", script):
        seen.wait(lambda: seen.named("threads"))
        (one,) = seen.named("threads")
        threads = {int(word) for word in lab.sh(f"ls /proc/{one['pid']}/task").split()}
        assert len(threads) == 21
        assert threads & seen.people.keys() == {one["pid"]}


@promise("FEED-02")
@pytest.mark.parametrize("seconds", [0, 1], ids=["that end at once", "that live for a second"])
def test_a_storm_of_forks_is_told_in_few_events(lab: Lab, seconds: int) -> None:
    with (
        watcher(lab, processes=True) as seen,
        started(lab, sys.executable, "-S", "-c", _STORM, str(seconds)) as storm,
    ):
        seen.wait(lambda: seen.named(_STORM))
        (one,) = seen.named(_STORM)
        events, began = seen.read(), time.monotonic()
        assert storm.stdin
        storm.stdin.write("\n")
        storm.stdin.flush()
        heard: list[int] = []

        def over() -> bool:
            heard.append(len(seen.named(_STORM)))
            return bool(seen.people[one["pid"]]["name"] == "over")

        seen.wait(over, 100)
        seen.wait(lambda: len(seen.named(_STORM)) == 1)
        told = seen.read() - events
        assert told <= (time.monotonic() - began) / 0.15 + 2
        if seconds:
            assert max(heard) > (20 if without_bpf() else 200)
        assert agrees(lab, seen)


@promise("FEED-02")
def test_a_number_that_was_anothers_is_told_as_the_new_ones(lab: Lab) -> None:
    """By clone3(2), which may be told what number to give."""
    with watcher(lab, processes=True) as seen, started(lab, "sleep", "7007"):
        seen.told("7007", name="sleep")
        (first,) = seen.named("7007")
        pid = first["pid"]
        script = (
            "import ctypes, os, time\n"
            f"os.kill({pid}, 9)\n"
            f"while os.path.exists('/proc/{pid}'): time.sleep(0.001)\n"
            f"wanted = (ctypes.c_int * 1)({pid})\n"
            "words = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(wanted), 1, 0)\n"
            "if ctypes.CDLL(None).syscall(435, words, ctypes.sizeof(words)) == 0:\n"
            "    os.execvp('sleep', ['sleep', '7008'])\n"
            "os.wait()"
        )
        with started(lab, sys.executable, "-S", "-c", script):
            seen.told("7008", pid=pid)
            (second,) = seen.named("7008")
            assert second["began"] > first["began"]
            assert not seen.named("7007")
        seen.wait(lambda: pid not in seen.people)


@promise("FEED-03")
def test_users_see_others_without_command_line(lab: Lab) -> None:
    with started(lab, "sleep", "7009", user=BOB), watcher(lab, ALICE, processes=True) as seen:
        assert all("command" not in p for p in seen.people.values() if p.get("user", 0) != ALICE)
        assert len(seen.people) > 3
        with started(lab, "sleep", "7010", user=BOB), started(lab, "sleep", "7011", user=ALICE):
            seen.wait(lambda: seen.named("7011"))
            seen.wait(lambda: sum(p.get("user") == BOB for p in seen.people.values()) == 2)
            assert {p["user"] for p in seen.people.values() if "command" in p} == {ALICE}
        seen.wait(lambda: sum(p.get("user") == BOB for p in seen.people.values()) == 1)


@promise("FEED-03")
def test_where_proc_hides_them_users_see_their_own_only(lab: Lab) -> None:
    lab.sh("mount -n -o remount,hidepid=2 /proc")
    try:
        with (
            started(lab, "sleep", "7012", user=BOB),
            watcher(lab, ALICE, processes=True) as seen,
            watcher(lab, processes=True) as roots,
        ):
            with started(lab, "sleep", "7013", user=BOB), started(lab, "sleep", "7014", user=ALICE):
                seen.wait(lambda: seen.named("7014"))
                roots.wait(lambda: roots.named("7013") and roots.named("7014"))
            seen.wait(lambda: not seen.named("7014"))
            roots.wait(lambda: not roots.named("7013"))
            told = [each for event in seen.of("processes") for each in event.get("now", [])]
            assert {p.get("user", 0) for p in [*told, *seen.people.values()]} == {ALICE}
            known = {p["pid"] for p in [*told, *seen.people.values()]}
            assert {pid for event in seen.of("processes") for pid in event.get("gone", [])} <= known
    finally:
        lab.sh("mount -n -o remount,hidepid=0 /proc")


@promise("FEED-04")
def test_thousands_are_told_of_at_once_and_cost_nothing_then(machine: tuple[Lab, Daemon]) -> None:
    """By the time of the CPU, and the quickest of three: machines that run tests are busy."""
    lab, running = machine
    took: list[tuple[float, float]] = []
    path = ":".join([ENVIRONMENT["PYTHONPATH"], *(p for p in sys.path if "site-packages" in p)])
    stat = Path("/proc") / str(running.process.command_pid()) / "stat"

    def spent() -> float:
        """Seconds of the CPU's time that the daemon has taken."""
        return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) / 100

    with started(lab, sys.executable, "-S", "-c", _STORM, "1000") as storm:
        assert storm.stdin
        storm.stdin.write("\n")
        storm.stdin.flush()
        with watcher(lab, processes=True) as seen:
            seen.wait(lambda: len(seen.named(_STORM)) == 2001, 60)
            time.sleep(1 * FACTOR)
            before, began, events = spent(), time.monotonic(), seen.read()
            time.sleep(3 * FACTOR)
            # Without BPF everybody is looked at again and again, for a tenth of the time.
            most = 0.15 if without_bpf() else 0.05
            assert (spent() - before) / (time.monotonic() - began) < most
            assert seen.read() == events
        for _ in range(3):
            before = spent()
            done = lab.run([sys.executable, "-c", _SNAPSHOT], env={"PYTHONPATH": path}, check=True)
            many, waited = json.loads(done.stdout)
            took.append((spent() - before, waited))
            assert many > 2000
    assert min(seconds for seconds, _ in took) < 0.3 * FACTOR, took
    assert min(waited for _, waited in took) < 0.1 * FACTOR, took
