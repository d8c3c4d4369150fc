"""`assign` of a whole unit: its own cgroup becomes the target, and systemd notices nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from procroute.kernel import programs
from tests.lab.systemd_box import SystemdBox
from tests.netns.inhabitants import Inhabitant, bystander
from tests.netns.moving import furnish, way_of
from tests.netns.running import ours, procroute, until
from tests.netns.traffic import WAYS, astray, both_families
from tests.systemd.daemons import ADAS_MANAGER, AS_ADA, Daemon, daemon, placed, started

promise = pytest.mark.promise
SERVICE = ("--pipe", "--wait", "--collect", "--unit=backup.service")


@pytest.fixture
def running(box: SystemdBox) -> Iterator[Daemon]:
    """A daemon; nothing of ours is left after it, wherever."""
    with daemon(box) as running:
        yield running
    until(lambda: not left(box), what="the end of what is ours")


def left(box: SystemdBox) -> list[str]:
    """What is ours, wherever in the tree it is."""
    return [*ours(box), *(p for p in box.ask("cgroups") if "procroute" in p), *noted(box)]


def noted(box: SystemdBox) -> list[str]:
    """The cgroups outside procroute.slice that carry an attribute of ours."""
    found = box.sh(
        "python3 -c 'import os\n"
        'for path, _, _ in os.walk("/sys/fs/cgroup"):\n'
        '  if any(name.startswith("trusted.procroute") for name in os.listxattr(path)): print(path)\''
    )
    return [path for path in found.split() if "/procroute.slice" not in path]


def programs_of(box: SystemdBox, cgroup: str) -> list[str]:
    """The kinds of programs that are attached right to a cgroup."""
    return [place.split()[-1] for place in box.ask("attached") if place.startswith(f"{cgroup} ")]


def goes_by(
    box: SystemdBox, who: Inhabitant, adapter: str, family: int, ways: Sequence[str] = ("tcp", "unconnected")
) -> None:
    uplink = box.uplinks[adapter]
    for way in ways:
        assert not astray(box, who, way, family, uplink)


@promise("UNIT-09", "DAEMON-08")
@both_families
@pytest.mark.parametrize("by", ["unit", "pid"])
def test_a_service_stays_where_it_is(running: Daemon, family: int, by: str) -> None:
    """Bystanders beside it, in the same slice, are none of it."""
    box = running.box
    with started(box, *SERVICE) as service, started(box, "--pipe", "--wait", "--collect") as beside:
        hello = service.ask("hello")
        told = [box.unit_property("backup", name) for name in ("MainPID", "ControlGroup", "InvocationID")]
        assert told[:2] == [str(hello.pid), hello.cgroup]
        furnish(service, family)
        subject = ["--unit", "backup"] if by == "unit" else [str(hello.pid)]
        assert "in place" in running.ask("assign", *subject, "--via", "wan1")
        assert service.ask("hello").cgroup == hello.cgroup
        goes_by(box, service, "wan1", family, WAYS)
        goes_by(box, beside, "wan2", family)
        ways = {name: way_of(box, service, name, family) for name in ("tcp", "udp", "unconnected")}
        assert ways == {"tcp": "wan2", "udp": "wan2", "unconnected": "wan1"}
        (found,) = running.ps()
        assert (found["in_place"], found["cgroup"], found["origin"]) == (True, hello.cgroup, hello.cgroup)
        assert "backup.service" in procroute(box, "status").stdout
        assert f"assignment {found['id']} (assign, in place)" in running.ask("explain", str(hello.pid))
        for words in (["daemon-reload"], ["daemon-reexec"]):
            box.run(["systemctl", *words], check=True)
        goes_by(box, service, "wan1", family)
        names = ("MainPID", "ControlGroup", "InvocationID")
        assert told == [box.unit_property("backup", name) for name in names]
        assert box.unit_property("backup", "ActiveState") == "active"

        with running.stopped():
            box.sh("nft delete table inet procroute")
            programs.detach(str(box.path(f"/sys/fs/cgroup{hello.cgroup}")), ("mark", "guard"))
            assert astray(box, service, "tcp", family, box.wan1), "it was its own target that did it"
        until(lambda: not astray(box, service, "tcp", family, box.wan1), what="the repair")

        running.ask("release", f"%{found['id']}")
        assert not running.ps()
        assert not programs_of(box, hello.cgroup)
        assert not noted(box)
        goes_by(box, service, "wan2", family)
        for name in ("tcp", "udp", "unconnected"):
            assert way_of(box, service, name, family) == "wan2"
        assert service.ask("hello").cgroup == hello.cgroup


@promise("UNIT-09")
@both_families
def test_it_ends_with_the_unit(running: Daemon, family: int) -> None:
    """Stopped or restarted: the next start of it is a bystander."""
    box = running.box
    box.run(["systemd-run", "--quiet", "--unit=backup.service", "sleep", "600"], check=True)
    running.ask("assign", "--unit", "backup", "--via", "wan1")
    cgroup = box.unit_property("backup", "ControlGroup")
    assert programs_of(box, cgroup)
    first = box.unit_property("backup", "MainPID")
    box.run(["systemctl", "restart", "backup"], check=True)
    until(lambda: box.unit_property("backup", "MainPID") not in ("0", first), what="its restart")
    until(lambda: not running.ps(), what="the end of the assignment")
    assert box.unit_property("backup", "ControlGroup") == cgroup
    assert not programs_of(box, cgroup)
    running.ask("assign", "--unit", "backup", "--via", "wan1")
    box.run(["systemctl", "stop", "backup"], check=True)
    until(lambda: not running.ps(), what="the end of the assignment")
    with started(box, *SERVICE) as service:
        goes_by(box, service, "wan2", family)


@promise("UNIT-09")
@both_families
def test_it_is_given_another_route(running: Daemon, family: int) -> None:
    box = running.box
    with started(box, *SERVICE) as service:
        running.ask("assign", "--unit", "backup", "--via", "wan1")
        goes_by(box, service, "wan1", family)
        running.ask("assign", "--unit", "backup", "--via", "wan2", "--strict")
        (found,) = running.ps()
        assert (found["route"], found["in_place"]) == ("wan2~strict", True)
        goes_by(box, service, "wan2", family)
        running.ask("assign", "--unit", "backup", "--via", "wan1", "--strict")
        goes_by(box, service, "wan1", family)


@promise("UNIT-09")
@both_families
def test_a_nearer_target_wins(running: Daemon, family: int) -> None:
    """All of ada's by wan1, but for what she has run by wan2."""
    box = running.box
    with started(box, "--user", "--pipe", "--wait", "--collect", before=AS_ADA) as hers:
        assert "in place" in running.ask("assign", "--unit", "user@1000.service", "--via", "wan1")
        goes_by(box, hers, "wan1", family)
        with placed(box, AS_ADA, via="wan2") as command:
            assert command.ask("hello").cgroup.startswith(f"{ADAS_MANAGER}/procroute.slice/")
            goes_by(box, command, "wan2", family)
            goes_by(box, hers, "wan1", family)
        running.ask("release", f"%{running.ps()[0]['id']}")
        goes_by(box, hers, "wan2", family)


@promise("UNIT-10", "DAEMON-05")
@both_families
@pytest.mark.parametrize("memory", ["whole", "lost", "slice gone"])
def test_it_outlives_the_daemon(running: Daemon, family: int, memory: str) -> None:
    """What the daemon remembers of it may be lost, and the route's own target, too."""
    box = running.box
    with started(box, *SERVICE) as service, bystander(box) as other:
        running.ask("assign", "--unit", "backup", "--via", "wan1")
        (before,) = running.ps()
        running.kill()
        goes_by(box, service, "wan1", family)
        if memory != "whole":
            box.sh("rm -rf /run/procroute")
        if memory == "slice gone":
            box.run(["systemctl", "stop", "procroute-wan1.slice"], check=True)
        running.start()
        (after,) = running.ps()
        assert after["cgroup"] == before["cgroup"]
        assert memory != "whole" or after == before
        goes_by(box, service, "wan1", family)
        goes_by(box, other, "wan2", family)
        running.ask("release", f"%{after['id']}")
        goes_by(box, service, "wan2", family)


@promise("UNIT-10", "CLEAN-01")
@both_families
@pytest.mark.parametrize("memory", ["whole", "lost", "slice gone"])
def test_cleanup_finds_it(running: Daemon, family: int, memory: str) -> None:
    box = running.box
    with started(box, *SERVICE) as service:
        running.ask("assign", "--unit", "backup", "--via", "wan1")
        running.kill()
        if memory != "whole":
            box.sh("rm -rf /run/procroute")
        if memory == "slice gone":
            box.run(["systemctl", "stop", "procroute-wan1.slice"], check=True)
        refused = procroute(box, "cleanup")
        assert (refused.returncode, str(service.ask("hello").pid) in refused.stderr) == (3, True)
        goes_by(box, service, "wan1", family)
        assert procroute(box, "cleanup", "--force").returncode == 0
        assert set(left(box)) <= {"files"}
        goes_by(box, service, "wan2", family)
        assert service.ask("hello").cgroup == "/system.slice/backup.service"
    running.start()  # what it remembers is its own to forget
