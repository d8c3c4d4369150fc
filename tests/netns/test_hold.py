"""Programs that are held until they are placed: even their first packet leaves by the right adapter."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from procroute.lab import Lab
from tests.netns.holding import (
    PLACE,
    Daemon,
    busy,
    first,
    holding,
    late,
    place_with_route,
    routers,
    rule,
    started,
    timed_start,
)
from tests.netns.running import ENVIRONMENT, until
from tests.netns.traffic import both_families

promise = pytest.mark.promise
STARTS: Final = int(os.environ.get("PROCROUTE_STARTS", "500"))
"""Of both families together; 10,000 take a few minutes."""
_MANY: Final = 200


@pytest.fixture(scope="module")
def routed_place() -> Iterator[tuple[Lab, str]]:
    """See place_with_route."""
    with place_with_route() as made:
        yield made


def start_many(lab: Lab, program: str, count: int, at_once: int = 8) -> dict[str, int]:
    """By which routers so many starts of a program came out."""
    words = [f"{PLACE}/starts", "many", str(count), str(at_once), program]
    return dict(routers(lab.run(words, timeout=30 + count / 5, check=True).stdout))


@promise("HOLD-01")
@both_families
def test_the_very_first_connection_is_right_every_time_under_load(
    routed_place: tuple[Lab, str], family: int
) -> None:
    lab, cgroup = routed_place
    assert start_many(lab, first(family), 3) == {"wan2": 3}
    with holding(lab, cgroup) as daemon, busy(lab):
        daemon.hold(rule(first(family)))
        assert start_many(lab, first(family), STARTS // 2) == {"wan1": STARTS // 2}
        assert len(daemon.heard("Exec")) == STARTS // 2
        assert not daemon.heard("Decided")


@contextlib.contextmanager
def by_connector(lab: Lab, cgroup: str, program: str) -> Iterator[None]:
    """Place a program by the kernel's process connector, when it has begun."""
    procs = lab.path(f"/sys/fs/cgroup{cgroup}/cgroup.procs")
    words = [sys.executable, "-m", "tests.netns.by_connector", str(procs), os.path.basename(program)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | ENVIRONMENT) as placing:
        assert placing.stdout
        try:
            assert placing.stdout.readline() == b"ready\n"
            yield
            assert placing.poll() is None
        finally:
            placing.kill()


@promise("HOLD-01")
@both_families
def test_who_only_hears_of_execs_comes_too_late(routed_place: tuple[Lab, str], family: int) -> None:
    lab, cgroup = routed_place
    with by_connector(lab, cgroup, late(family)):
        assert start_many(lab, late(family), 3) == {"wan1": 3}, "it does place who waits for it"
    with by_connector(lab, cgroup, first(family)), busy(lab):
        ways = start_many(lab, first(family), 100)
    assert ways["wan2"] > 0, ways
    print(f"by the connector alone, of 100: {ways}")


@promise("HOLD-02")
@both_families
@pytest.mark.parametrize("how", ["thread", "vfork", "execveat", "fexecve", "user"])
def test_however_it_is_executed(routed_place: tuple[Lab, str], how: str, family: int) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(family)))
        done = started(lab, how, first(family))
        assert dict(routers(done.stdout)) == {"wan1": 1}, done
        assert len(daemon.heard("Exec")) == 1
        if how == "vfork":  # the parent, which waits in the kernel, has not been moved along
            assert "0::/session\n" in done.stderr


@promise("HOLD-02")
def test_a_copy_in_memory_is_another_file(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        assert dict(routers(started(lab, "memfd", first(4)).stdout)) == {"wan2": 1}
        assert not daemon.heard("Exec")


@promise("HOLD-02")
def test_by_another_mount_namespace_and_another_mount(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    lab.sh(f"mkdir -p {PLACE}/mounted && touch {PLACE}/mounted/app")
    script = f"mount -n --bind {first(4)} {PLACE}/mounted/app && exec {PLACE}/mounted/app"
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        done = lab.run(["unshare", "--mount", "sh", "-c", script], check=True)
        assert dict(routers(done.stdout)) == {"wan1": 1}


def _heard(daemon: Daemon, number: int) -> bool:
    return len(daemon.heard("Exec")) >= number


@promise("HOLD-02")
def test_scripts_by_themselves_and_by_their_interpreter(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    script = f"{PLACE}/script"
    lab.sh(f"printf '#!{first(6)}\\n' >{script} && chmod +x {script}")
    with holding(lab, cgroup) as daemon:
        for number, held in enumerate((script, first(6)), start=1):
            daemon.hold(rule(held))
            assert dict(routers(started(lab, "execveat", script).stdout)) == {"wan1": 1}
            until(functools.partial(_heard, daemon, number))
            assert [one["path"] for one in daemon.heard("Exec")[number - 1 :]] == [held]


@promise("HOLD-03")
def test_many_are_held_at_once(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), when_down="allow"))
        daemon.does("nothing")
        ways = start_many(lab, first(4), _MANY, at_once=_MANY)
        assert sum(ways.values()) == _MANY, daemon.summary()
        with contextlib.suppress(AssertionError):
            until(lambda: len(daemon.heard("Decided")) >= _MANY)
        assert len(daemon.heard("Decided")) == _MANY, daemon.summary()
        held = [one["said"] for one in daemon.said if one["said"] in ("Exec", "Decided")]
        assert held.index("Decided") > _MANY / 4, "that many waited when the first one was let go"


@promise("HOLD-04")
def test_only_by_the_users_of_its_rule(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), uids=[1000]))
        assert dict(routers(started(lab, "user", first(4)).stdout)) == {"wan1": 1}
        assert dict(routers(started(lab, "execveat", first(4)).stdout)) == {"wan2": 1}
        daemon.kill()
        assert started(lab, "user", first(4)).returncode == 1  # EPERM
        assert started(lab, "execveat", first(4)).returncode == 0


@promise("HOLD-05")
def test_never_what_the_daemon_itself_starts(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        daemon.tell(run=first(4))
        assert daemon.await_said("Ran")["status"] == 0
        assert not daemon.heard("Exec")
        assert timed_start(lab, first(4))[1] == 0
        assert len(daemon.heard("Exec")) == 1


@promise("HOLD-04")
def test_the_daemon_may_deny(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), when_down="allow"))
        daemon.does("deny")
        assert timed_start(lab, first(4))[1] == 1  # EPERM


@promise("HOLD-13")
def test_marks_are_on_those_files_and_on_nothing_else(routed_place: tuple[Lab, str]) -> None:
    """So the kernel asks nobody of any other file: neither a mount nor a file system is marked (proc(5))."""
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), first(6)))
        wanted = {os.stat(lab.path(program)).st_ino for program in (first(4), first(6))}
        assert _marks(daemon.holder()) == [("ino", inode) for inode in sorted(wanted)]
        assert start_many(lab, late(4), 20)["wan2"] == 20
        assert not daemon.heard("Exec")
        assert start_many(lab, first(4), 1) == {"wan1": 1}
        daemon.hold()
        until(lambda: not _marks(daemon.holder()), what="the end of all marks")


@promise("NEG-13")
def test_a_holder_that_marks_whole_mounts_would_be_noticed(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    null = subprocess.DEVNULL  # it keeps what it has
    words = [sys.executable, "-m", "tests.netns.lesser_daemon", "mounts"]
    assert lab.popen(words, env=ENVIRONMENT, stdout=null, stderr=null).wait(20) == 0
    with holding(lab, cgroup) as daemon:
        assert daemon.hold(rule(first(4), first(6)))["files"] == 2
        assert {kind for kind, _ in _marks(daemon.holder())} == {"mnt_id"}


@promise("HOLD-14")
def test_who_opens_a_file_by_a_program(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    library, reader = f"{PLACE}/library", f"{PLACE}/reader"
    lab.sh(f"echo >{library}; cp $(command -v cat) {reader}")
    both = [reader, library, "/proc/self/cgroup"]
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(library, by=reader))
        assert f"0::{cgroup}" in lab.run(both, check=True).stdout.splitlines()
        assert [one["path"] for one in daemon.heard("Exec")] == [reader]
        daemon.does("deny")
        assert "Operation not permitted" in lab.run(both).stderr
        for other in (["cat", library], [reader, "/proc/self/cgroup"], ["dd", f"if={library}"]):
            lab.run(other, check=True)
        assert len(daemon.heard("Exec")) == 2
        daemon.hold(rule(library))  # execs of it, and no opens
        lab.run(both, check=True)


def _marks(holder: int) -> list[tuple[str, int]]:
    """What a holder has marked: of which kind, and the inode, mount or file system."""
    found = []
    for descriptor in Path(f"/proc/{holder}/fd").iterdir():
        if os.readlink(descriptor) == "anon_inode:[fanotify]":
            for line in Path(f"/proc/{holder}/fdinfo/{descriptor.name}").read_text().splitlines():
                kind, _, number = line.removeprefix("fanotify ").split(" ")[0].partition(":")
                if line.startswith("fanotify ") and kind != "flags":
                    found.append((kind, int(number, 16)))
    return sorted(found)
