"""All of a tree is moved: threads, children, those that fork while it goes on and whose parents are gone."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.daemons import daemon
from tests.netns.inhabitants import bystander
from tests.netns.moving import mover, pid_of
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, until

promise = pytest.mark.promise
STORM = str(Path(__file__).with_name("storm.py"))


def cgroups_of(lab: Lab, word: str) -> dict[int, str]:
    """The cgroup of each living process that was started with this word, by its PID in the machine."""
    found = {}
    for folder in lab.path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and f"\0{word}\0" in (folder / "cmdline").read_text():
                found[int(folder.name)] = (folder / "cgroup").read_text().split("::")[1].strip()
        except OSError:
            continue
    return {pid: cgroup for pid, cgroup in found.items() if "(deleted)" not in cgroup}


def outside(lab: Lab, word: str) -> list[int]:
    """Those of its processes that are not in the assignment."""
    return [pid for pid, cgroup in cgroups_of(lab, word).items() if not cgroup.endswith("assign.scope")]


@contextmanager
def storm(lab: Lab, how: str, count: int) -> Iterator[tuple[str, Process, int]]:
    """The word, the process and the PID of a storm."""
    word = secrets.token_hex(8)
    pipe = subprocess.PIPE
    process = lab.popen([sys.executable, "-S", STORM, word, how, str(count)], stdin=pipe, stdout=pipe)
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == "up\n"
        yield word, process, min(cgroups_of(lab, word))
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@promise("MOVE-06")
@pytest.mark.parametrize(("how", "count"), [("line", 1), ("line", 5), ("sessions", 3), ("threads", 4)])
def test_who_forks_all_the_time_ends_up_inside(how: str, count: int) -> None:
    with Lab() as lab, mover(lab) as move, storm(lab, how, count) as (word, _, pid):
        with storm(lab, how, 1) as (bystanders, _, _):
            answer = move.assign(pid, tree=True)
            assert answer["settled"]
            # Those whose parents were gone before may live for some milliseconds yet.
            until(lambda: outside(lab, word) == [], seconds=1, what="the end of earlier orphans")
            looks = seen = 0
            # Besides the one that stays there are others; a processor alone seldom shows one to who looks.
            while looks < 30 or (seen == looks and looks < 30 * FACTOR):
                found = cgroups_of(lab, word)
                looks, seen = looks + 1, seen + len(found)
                assert {Path(cgroup).name for cgroup in found.values()} == {"assign.scope"}, (found, answer)
            assert seen > looks
            assert "assign.scope" not in str(cgroups_of(lab, bystanders).values())
            print(how, count, answer)


@promise("MOVE-06")
def test_an_orphan_from_before_goes_with_its_tree_by_the_daemon() -> None:
    """Its parent had ended when the daemon was asked; also from one route to another."""
    with Lab() as lab, bystander(lab) as living, bystander(lab) as other, daemon(lab):
        orphan, its = living.ask("orphan").pid, other.ask("orphan").pid
        before = _cgroup(lab, its)
        for via in ("wan1", "wan2"):
            done = procroute(lab, "assign", str(pid_of(living)), "--via", via, "--tree")
            assert done.returncode == 0, done.stderr
            assert f"/procroute-{via}.slice/" in _cgroup(lab, pid_of(living))
            assert _cgroup(lab, orphan) == _cgroup(lab, pid_of(living))
            assert _cgroup(lab, its) == before


def _cgroup(lab: Lab, pid: int) -> str:
    return lab.path(f"/proc/{pid}/cgroup").read_text().split("::")[1].strip()


@promise("MOVE-06")
def test_the_daemon_stays_where_its_shell_is_moved() -> None:
    with Lab(main="both") as lab:
        words = ["sh", "-c", '"$@" daemon & echo $$ $!; wait', "sh", *PROCROUTE]
        with lab.popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE) as shell:
            assert shell.stdout
            pid, of_daemon = shell.stdout.readline().split()
            until(lambda: procroute(lab, "ps").returncode == 0, 30, "the daemon")
            done = procroute(lab, "assign", pid, "--via", "wan1", "--tree")
            assert done.returncode == 0, done.stderr
            assert "procroute.slice" in lab.sh(f"cat /proc/{pid}/cgroup")
            assert "procroute.slice" not in lab.sh(f"cat /proc/{of_daemon}/cgroup")
            lab.sh(f"kill -TERM {of_daemon}")
