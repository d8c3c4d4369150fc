"""`assign` of some of a unit's processes: they move into a scope and back, and systemd loses none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.inhabitants import PROBE, Inhabitant, bystander, start
from tests.netns.running import ENVIRONMENT, PROCROUTE, ROOT, ours, until
from tests.netns.traffic import WAYS, astray, both_families
from tests.systemd.daemons import ADAS_MANAGER, AS_ADA, Daemon, daemon, started

promise = pytest.mark.promise
WITH_ANOTHER = ("sh", "-c", 'sleep 600 & exec "$@"', "sh", *PROBE)
"""A unit that holds somebody else, too."""


@pytest.fixture
def running(box: SystemdBox) -> Iterator[Daemon]:
    """A daemon; nothing of ours is left after it."""
    with daemon(box) as running:
        yield running
    until(lambda: not ours(box), what="the end of what is ours")


@contextmanager
def unit(box: SystemdBox, *how: str) -> Iterator[Inhabitant]:
    """A probe and a sleep(1) in one unit."""
    words = ["systemd-run", "--quiet", "--collect", *how, f"--setenv=PYTHONPATH={ROOT}", *WITH_ANOTHER]
    with start(box, words) as (process, errors):
        living = Inhabitant(process, errors)
        hello = living.ask("hello")
        try:
            yield living
        finally:
            box.sh(f"kill -9 {hello.pid} || true; echo 1 > /sys/fs/cgroup{hello.cgroup}/cgroup.kill || true")
            process.wait(20)
            living.process.stdout.close()  # type: ignore[union-attr]


def goes_by(
    box: SystemdBox, who: Inhabitant, adapter: str, family: int, ways: Sequence[str] = ("tcp", "unconnected")
) -> None:
    for way in ways:
        assert not astray(box, who, way, family, box.uplinks[adapter])


@promise("UNIT-11", "DAEMON-08")
@both_families
def test_one_of_a_services_moves_into_a_scope_of_the_systems(running: Daemon, family: int) -> None:
    """Its main process, even: it stays that."""
    box = running.box
    with unit(box, "--pipe", "--wait", "--unit=backup.service") as one, bystander(box) as other:
        hello = one.ask("hello")
        running.ask("assign", str(hello.pid), "--via", "wan1")
        cgroup = one.ask("hello").cgroup
        assert cgroup.startswith("/procroute.slice/procroute-wan1.slice/procroute-assign-")
        assert box.unit_property("backup", "MainPID") == str(hello.pid)
        assert box.unit_property("backup", "ActiveState") == "active"
        goes_by(box, one, "wan1", family, WAYS)
        goes_by(box, other, "wan2", family)
        (found,) = running.ps()
        assert (found["in_place"], found["origin"]) == (False, hello.cgroup)
        running.ask("release", f"%{found['id']}")
        assert one.ask("hello").cgroup == hello.cgroup
        goes_by(box, one, "wan2", family)
        assert str(hello.pid) in box.sh("systemctl status backup.service")
        box.run(["systemctl", "stop", "backup"], check=True)
        one.process.wait(20)
        assert box.run(["test", "-e", f"/proc/{hello.pid}"]).returncode == 1


@promise("UNIT-11")
@both_families
def test_stopping_the_service_ends_who_was_moved(running: Daemon, family: int) -> None:
    box = running.box
    with unit(box, "--pipe", "--wait", "--unit=backup.service") as one:
        pid = one.ask("hello").pid
        running.ask("assign", str(pid), "--via", "wan1")
        assert not astray(box, one, "tcp", family, box.wan1)
        box.run(["systemctl", "stop", "backup"], check=True)
        one.process.wait(20)
        assert box.run(["test", "-e", f"/proc/{pid}"]).returncode == 1
        until(lambda: not running.ps(), what="the end of the assignment")


@promise("UNIT-11")
@both_families
@pytest.mark.parametrize("strict", [False, True], ids=["open", "strict"])
def test_one_of_a_users_session_moves_into_her_managers_tree(
    running: Daemon, family: int, strict: bool
) -> None:
    """Not so on a strict route. The session has another process: it goes on, and gets hers back."""
    box = running.box
    session = ("--scope", "--slice=user-1000.slice", "--uid=1000", "--unit=session-77.scope")
    with unit(box, *session) as one:
        hello = one.ask("hello")
        assert hello.cgroup == "/user.slice/user-1000.slice/session-77.scope"
        words = ("assign", str(hello.pid), "--via", "wan1", *(["--strict"] if strict else []))
        running.ask(*words, before=AS_ADA)
        tree = "" if strict else ADAS_MANAGER
        assert one.ask("hello").cgroup.startswith(f"{tree}/procroute.slice/procroute-wan1")
        goes_by(box, one, "wan1", family)
        assert box.unit_property("session-77.scope", "ActiveState") == "active"
        running.ask("release", str(hello.pid), before=AS_ADA)
        assert one.ask("hello").cgroup == hello.cgroup
        goes_by(box, one, "wan2", family)


@promise("UNIT-09", "UNIT-11")
@both_families
def test_a_users_service_follows_in_place_unless_strict(running: Daemon, family: int) -> None:
    box = running.box
    how = ("--user", "--pipe", "--wait", "--collect", "--unit=hers.service")
    with started(box, *how, before=AS_ADA) as hers:
        cgroup = hers.ask("hello").cgroup
        assert "in place" in running.ask("assign", "--unit", "hers", "--via", "wan1", before=AS_ADA)
        assert hers.ask("hello").cgroup == cgroup
        goes_by(box, hers, "wan1", family)
        (found,) = running.ps()
        assert (found["owner"], found["by"], found["in_place"]) == (1000, 1000, True)
        assert box.unit_property("hers", "MainPID", user=True) == str(hers.ask("hello").pid)
        running.ask("assign", "--unit", "hers", "--via", "wan1", "--strict", before=AS_ADA)
        assert hers.ask("hello").cgroup.startswith("/procroute.slice/")
        goes_by(box, hers, "wan1", family)
        until(lambda: len(running.ps()) == 1, what="the end of what was in place")
        (found,) = running.ps()
        running.ask("release", f"%{found['id']}", before=AS_ADA)
        assert hers.ask("hello").cgroup == cgroup
        goes_by(box, hers, "wan2", family)


@promise("DAEMON-09", "UNIT-11")
def test_a_unit_with_others_processes_is_not_hers(running: Daemon) -> None:
    box = running.box
    with started(box, "--pipe", "--wait", "--collect", "--unit=roots.service"):
        words = [*AS_ADA, *PROCROUTE, "assign", "--unit", "roots", "--via", "wan1"]
        refused = box.run(words, env=ENVIRONMENT)
        assert (refused.returncode, "is not yours" in refused.stderr) == (125, True)
    # Her uid in the system's tree: it moves, for the unit is not hers.
    with started(box, "--pipe", "--wait", "--collect", "--uid=1000", "--unit=shared.service") as one:
        running.ask("assign", "--unit", "shared", "--via", "wan1", before=AS_ADA)
        assert one.ask("hello").cgroup.startswith("/procroute.slice/")
        assert not astray(box, one, "tcp", 4, box.wan1)
