"""Who comes from an odd cgroup is put on a route and let go as anybody else: from the root, or from one whose
name is no text."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from procroute.lab import Lab
from tests.netns.daemons import Daemon, daemon
from tests.netns.inhabitants import bystander
from tests.netns.moving import way_of
from tests.netns.running import ENVIRONMENT, PROCROUTE
from tests.netns.traffic import SERVER, both_families
from tests.netns.watching import ask, watcher

promise = pytest.mark.promise
ROOT, NO_TEXT = "/sys/fs/cgroup", r"$(printf '/sys/fs/cgroup/a\377b')"


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[Lab, Daemon]]:
    with Lab(main="both") as lab, daemon(lab) as running:
        yield lab, running


def done(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    answer = lab.run([*PROCROUTE, *words], env=ENVIRONMENT)
    assert answer.returncode == 0, answer.stderr
    return answer


def place_of(lab: Lab, pid: int) -> str:
    return lab.sh(f"grep ^0:: /proc/{pid}/cgroup | od -An -c")


@promise("DAEMON-08")
@both_families
def test_what_was_opened_on_a_route_goes_on_after_it_also_in_the_root(
    machine: tuple[Lab, Daemon], family: int
) -> None:
    """All targets are below the root, where processes of a machine without systemd are."""
    lab, _ = machine
    with bystander(lab) as other:
        pid = other.ask("hello").pid
        lab.sh(f"echo {pid} >{ROOT}/cgroup.procs")
        assert other.ask("unconnected", to=SERVER[family], keep="unconnected old").router == "wan2"
        done(lab, "assign", str(pid), "--via", "wan1")
        assert other.ask("unconnected", to=SERVER[family], keep="unconnected new").router == "wan1"
        assert way_of(lab, other, "unconnected old", family) == "wan1"
        done(lab, "release", str(pid))
        assert way_of(lab, other, "unconnected old", family) == "wan2"
        assert way_of(lab, other, "unconnected new", family) == "wan2"


@promise("DAEMON-08")
def test_the_name_of_a_cgroup_may_be_any_bytes(machine: tuple[Lab, Daemon]) -> None:
    """U+FFFD stands for what is no text; it is put back into the very cgroup."""
    lab, running = machine
    shown = "/a\ufffdb"
    with bystander(lab) as other, watcher(lab, processes=True) as seen:
        pid = other.ask("hello").pid
        lab.sh(f"mkdir {NO_TEXT} && echo {pid} >{NO_TEXT}/cgroup.procs")
        before = place_of(lab, pid)
        seen.wait(lambda: seen.people[pid]["cgroup"] == shown)
        done(lab, "explain", str(pid))
        assert ask(lab, do="inspect", pid=pid)["process"]["cgroup"] == shown
        done(lab, "assign", str(pid), "--via", "wan1")
        (assigned,) = running.ps()
        assert assigned["origin"] == shown
        (added,) = seen.of("added")
        assert added["assignment"]["origin"] == shown
        done(lab, "explain", str(pid))
        done(lab, "assign", str(pid), "--via", "wan2")
        done(lab, "release", str(pid))
        assert place_of(lab, pid) == before


@promise("DAEMON-08")
def test_so_may_that_of_one_which_somebody_makes_in_a_target(machine: tuple[Lab, Daemon]) -> None:
    """A user can do so in a target of his own; everybody else is answered as before."""
    lab, running = machine
    with bystander(lab) as other, bystander(lab) as intruder:
        done(lab, "assign", str(other.ask("hello").pid), "--via", "wan1")
        target = "/sys/fs/cgroup/procroute.slice/procroute-wan1.slice"
        odd = rf"$(printf '{target}/a\377b.scope')"
        pid = intruder.ask("hello").pid
        lab.sh(f"mkdir {odd} && echo {pid} >{odd}/cgroup.procs")
        found = by_pid(running)
        assert found[pid]["cgroup"].endswith("/a\ufffdb.scope")
        assert json.loads(done(lab, "ps", "--json").stdout)["assignments"]
        done(lab, "release", str(other.ask("hello").pid))
        done(lab, "release", str(pid))
        assert not running.ps()


def by_pid(running: Daemon) -> dict[int, dict[str, Any]]:
    return {process["pid"]: one for one in running.ps() for process in one["processes"]}
