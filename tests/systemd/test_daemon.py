"""procrouted as a service of a real systemd: where it places commands, and what its end and systemd's news
leave as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.systemd_box import SystemdBox
from tests.netns.inhabitants import bystander
from tests.netns.running import ours, until
from tests.netns.traffic import FAMILIES, WAYS, astray, both_families
from tests.systemd.daemons import ADAS_MANAGER, AS_ADA, Daemon, daemon, placed

promise = pytest.mark.promise
SLICE = "procroute-wan1.slice"


@pytest.fixture
def running(box: SystemdBox) -> Iterator[Daemon]:
    """A daemon; nothing of ours is left after it."""
    with daemon(box) as running:
        yield running
    until(lambda: not ours(box), what="the end of what is ours")
    assert not [path for path in box.ask("cgroups") if "procroute" in path]


@promise("UNIT-08")
@both_families
def test_a_users_run_is_a_scope_of_her_own_manager(running: Daemon, family: int) -> None:
    box = running.box
    with bystander(box) as other, placed(box, AS_ADA) as command:
        cgroup = command.ask("hello").cgroup
        assert cgroup.startswith(f"{ADAS_MANAGER}/procroute.slice/{SLICE}/procroute-run-")
        assert box.unit_property(os.path.basename(cgroup), "Slice", user=True) == SLICE
        (found,) = running.ps()
        assert (found["how"], found["owner"], found["cgroup"]) == ("run", 1000, cgroup)
        for way in WAYS[:3]:  # ping(8) of trixie is root's
            assert not astray(box, command, way, family, box.wan1)
            assert not astray(box, other, way, family, box.wan2)
        with running.stopped():
            running.switch_off(command)
            assert astray(box, command, "tcp", family, box.wan1), "it was its own target that did it"


@promise("UNIT-08")
@both_families
@pytest.mark.parametrize("who", ["root", "ada, strict"])
def test_what_the_system_places_is_a_scope_of_its(running: Daemon, who: str, family: int) -> None:
    """Root's, and a strict route's: a user could leave her own tree."""
    box = running.box
    before, options = (AS_ADA, ["--strict"]) if who != "root" else ((), [])
    with placed(box, before, *options) as command:
        cgroup = command.ask("hello").cgroup
        assert cgroup.startswith("/procroute.slice/")
        assert box.unit_property(os.path.basename(cgroup), "ControlGroup") == cgroup
        for way in WAYS[:3]:
            assert not astray(box, command, way, family, box.wan1)


@promise("UNIT-08")
def test_without_a_manager_of_hers_it_is_the_systems(running: Daemon) -> None:
    box = running.box
    box.run(["systemctl", "stop", "user@1000.service"], check=True)
    try:
        with placed(box, AS_ADA) as command:
            assert command.ask("hello").cgroup.startswith("/procroute.slice/")
            for family in FAMILIES:
                assert not astray(box, command, "tcp", family, box.wan1)
    finally:
        until(lambda: came_back(box), what="her manager")


def came_back(box: SystemdBox) -> bool:
    """Whether ada's manager answers again; logind may still close it, so it is asked for more than once."""
    box.sh("loginctl enable-linger ada; systemctl start user@1000.service || true")
    state = box.run(["loginctl", "show-user", "ada", "--value", "--property=State"]).stdout.strip()
    return state == "lingering" and box.as_ada(["busctl", "--user", "status"]).returncode == 0


@promise("UNIT-08", "DAEMON-05")
@both_families
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_lives_stays_on_its_route_without_a_daemon(running: Daemon, end: str, family: int) -> None:
    """Root's and ada's; the next daemon takes both over."""
    box = running.box
    with placed(box, AS_ADA) as hers, placed(box) as of_root:
        before = running.ps()
        running.kill() if end == "kill" else running.stop()
        for who in (hers, of_root):
            assert not astray(box, who, "tcp", family, box.wan1)
        running.start()
        assert running.ps() == before
        for who in (hers, of_root):
            assert not astray(box, who, "tcp", family, box.wan1)
    until(lambda: not running.ps(), what="their end")


@promise("UNIT-08")
@both_families
def test_the_managers_news_change_nothing(running: Daemon, family: int) -> None:
    box = running.box
    with placed(box, AS_ADA) as hers, placed(box) as of_root:
        before = running.ps()
        for manager in ([], ["--user"]):
            for what in ("daemon-reload", "daemon-reexec"):
                (box.as_ada if manager else box.run)(["systemctl", *manager, what], check=True)
        for who in (hers, of_root):
            assert not astray(box, who, "tcp", family, box.wan1)
        assert running.ps() == before
