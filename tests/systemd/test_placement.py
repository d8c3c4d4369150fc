"""Where systemd is PID 1: our cgroups are its units, and nothing of them stays."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence

import pytest

from tests.lab.systemd_box import ADA, SystemdBox
from tests.netns.inhabitants import PROBE, Inhabitant, routed, start
from tests.netns.running import ENVIRONMENT, ROOT, ours, procroute, run, run_by, unchanged, until
from tests.netns.traffic import FAMILIES, astray

promise = pytest.mark.promise
SLICE = "procroute-wan1.slice"


def made_by_hand(box: SystemdBox) -> list[str]:
    """Cgroups of ours that are no loaded unit."""
    units = box.units("*")
    paths = [path for path in box.ask("cgroups") if "procroute" in path]
    return [path for path in paths if os.path.basename(path) not in units]


def scope_of(box: SystemdBox) -> str:
    """The one scope of ours."""
    (scope,) = [unit for unit in box.units("procroute-run-*") if unit.endswith(".scope")]
    return scope


@promise("UNIT-02")
def test_a_command_is_a_scope_in_its_routes_slice(box: SystemdBox) -> None:
    with unchanged(box):
        with routed(box) as command:
            scope = scope_of(box)
            assert box.units("procroute*") == {"procroute.slice": "active", SLICE: "active", scope: "active"}
            assert box.unit_property(scope, "Slice") == SLICE
            assert "procroute run: " in box.unit_property(scope, "Description")
            cgroup = command.ask("hello").cgroup
            assert cgroup == box.unit_property(scope, "ControlGroup")
            assert scope in box.sh(f"systemctl status $(head -1 /sys/fs/cgroup{cgroup}/cgroup.procs)")
            assert scope in box.sh("systemd-cgls --no-pager")
            assert not made_by_hand(box)
        assert not box.units("procroute*")


@promise("UNIT-02")
def test_who_ends_while_it_is_placed_is_in_no_cgroup(box: SystemdBox) -> None:
    """Systemd then has no cgroup for its scope: that is not the root, in which everybody is."""
    with routed(box):
        done = box.run([sys.executable, "-m", "tests.systemd.ends_early", SLICE], env=ENVIRONMENT)
        assert (done.stdout, done.stderr) == ("cgroup-missing\n", "")
        assert "procroute" not in box.sh("python3 -c 'import os; print(os.listxattr(\"/sys/fs/cgroup\"))'")


@promise("UNIT-02")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
def test_the_managers_restart_changes_nothing(box: SystemdBox, family: int) -> None:
    with routed(box) as command:
        box.run(["systemctl", "daemon-reexec"], check=True)
        box.run(["systemctl", "daemon-reload"], check=True)
        assert not astray(box, command, "tcp", family, box.wan1)
        assert not made_by_hand(box)
    assert not box.units("procroute*")
    assert not ours(box)


@promise("UNIT-02")
def test_stopping_the_slice_ends_the_command(box: SystemdBox) -> None:
    with unchanged(box):
        with box.popen([*run_by("wan1"), "sleep", "60"], env=ENVIRONMENT) as process:
            until(
                lambda: "sleep 60" in box.sh("systemctl status procroute.slice || true"), what="the command"
            )
            box.run(["systemctl", "stop", SLICE], check=True)
            assert process.wait(10) == 128 + signal.SIGTERM
        box.run(["systemctl", "stop", "procroute.slice"])
        assert not ours(box)


@promise("UNIT-04")
@pytest.mark.parametrize("kind", [["--pipe", "--wait"], ["--scope"]], ids=["service", "scope"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
def test_what_systemd_starts_in_the_slice_is_routed(box: SystemdBox, family: int, kind: list[str]) -> None:
    """Before a route lives it is not; after it none of it stays."""
    slice_ = procroute(box, "unit", "slice", "wan1").stdout.strip()
    assert slice_ == SLICE
    with unchanged(box):
        with in_slice(box, slice_, *kind) as early:
            assert not astray(box, early, "tcp", family, box.wan2)
            with routed(box), in_slice(box, slice_, *kind) as late:
                for who in (early, late):
                    assert not astray(box, who, "tcp", family, box.wan1)
                assert not made_by_hand(box)
        procroute(box, "cleanup")
        box.run(["systemctl", "stop", "procroute.slice"])


@promise("UNIT-04")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
def test_a_users_manager_has_a_slice_of_its_own(box: SystemdBox, family: int) -> None:
    """Root's run does not reach it; hers does, and what is in it then stays on the route while it lives."""
    with routed(box):
        with in_slice(box, SLICE, "--user", "--scope", before=AS_ADA) as hers:
            assert not astray(box, hers, "tcp", family, box.wan2)
            with routed(box, "--user", "ada"):
                assert not astray(box, hers, "tcp", family, box.wan1)
            assert not astray(box, hers, "tcp", family, box.wan1)
        assert box.units(SLICE, user=True) == {SLICE: "active"}
    assert not box.units("procroute*", user=True)
    assert not ours(box)


@promise("UNIT-07")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
def test_what_is_in_the_slice_when_the_run_ends_stays_on_its_route(box: SystemdBox, family: int) -> None:
    """And nobody follows that any more: it is said. Whoever looks next removes what was left."""
    with unchanged(box):
        with in_slice(box, SLICE, "--pipe", "--wait") as service:
            with routed(box):
                assert not astray(box, service, "tcp", family, box.wan1)
                # Not the last: nothing to say.
                assert run(box, "wan1", "true").stderr == ""
            assert f"others in {SLICE} stay on the route" in run(box, "wan1", "true").stderr
            assert not astray(box, service, "tcp", family, box.wan1)
            assert procroute(box, "cleanup").returncode == 3
        assert ours(box)
        assert procroute(box, "run", "--via", "wan2", "--", "true").returncode == 0
        assert not ours(box)


AS_ADA = [
    *("setpriv", f"--reuid={ADA}", f"--regid={ADA}", "--init-groups", "env"),
    *(f"XDG_RUNTIME_DIR=/run/user/{ADA}", f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{ADA}/bus"),
]


@contextlib.contextmanager
def in_slice(box: SystemdBox, slice_: str, *kind: str, before: Sequence[str] = ()) -> Iterator[Inhabitant]:
    """A probe that systemd-run has put there; before: the words to become somebody else."""
    by = ["systemd-run", "--quiet", f"--slice={slice_}", *kind, f"--setenv=PYTHONPATH={ROOT}"]
    words = [*before, *by, *PROBE]
    with start(box, words) as (process, errors):
        living = Inhabitant(process, errors)
        living.ask("hello")
        try:
            yield living
        finally:
            living.end()


@promise("UNIT-02", "CLEAN-01")
@pytest.mark.parametrize("restore", [["cleanup", "--force"], ["run", "--via", "wan2", "--", "true"]])
def test_what_a_killed_engine_left_is_found(box: SystemdBox, restore: list[str]) -> None:
    """--force lets the command go on elsewhere; the next run finds what is left once it has ended."""
    with unchanged(box):
        with box.popen([*run_by("wan1"), "sleep", "60"], env=ENVIRONMENT) as process:
            until(lambda: "procroute-run" in str(box.units("procroute-run-*")), what="the scope")
            scope = scope_of(box)
            os.kill(process.command_pid(), signal.SIGKILL)
            process.wait(10)
            assert box.units(scope)[scope] == "active"
            pid = box.sh(f"cat '/sys/fs/cgroup{box.unit_property(scope, 'ControlGroup')}/cgroup.procs'")
            if restore[0] == "run":
                box.sh(f"kill {pid}")
                until(lambda: not box.units(scope), what="the scope's end")
            assert box.units("procroute*")[SLICE] == "active"
            done = procroute(box, *restore)
            assert done.returncode == 0, done.stderr
            assert not box.units("procroute*")
            assert not ours(box)
            box.sh(f"kill {pid} 2>/dev/null || true")


USERS = "/user.slice/user-1000.slice/user@1000.service"


@promise("UNIT-05")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
def test_a_users_command_is_a_scope_of_his_own_manager(box: SystemdBox, family: int) -> None:
    """Beside one of root's on the same route; both are routed."""
    with routed(box) as of_root, routed(box, "--user", "ada") as command:
        cgroup = command.ask("hello").cgroup
        assert cgroup.startswith(f"{USERS}/procroute.slice/{SLICE}/procroute-run-")
        scope = os.path.basename(cgroup)
        assert box.unit_property(scope, "Slice", user=True) == SLICE
        assert scope in box.units("procroute*", user=True)
        shown = box.run(["systemd-cgls", "--no-pager", "--unit", "user@1000.service"]).stdout
        assert scope in shown
        assert scope not in box.units("procroute*")
        for who in (of_root, command):
            assert not astray(box, who, "tcp", family, box.wan1)
        command.switch_off("mark", "guard")
        of_root.changes_marks = True  # the same route's, and its engine puts the belt back
        assert astray(box, command, "tcp", family, box.wan1), "it was its own target that did it"
    until(lambda: not box.units("procroute*", user=True), what="the end of the user's units")
    assert not box.units("procroute*")
    assert not ours(box)


@promise("UNIT-05")
def test_a_strict_route_of_a_user_is_placed_by_the_system(box: SystemdBox) -> None:
    with routed(box, "--strict", "--user", "ada") as command:
        assert command.ask("hello").cgroup.startswith("/procroute.slice/")


@promise("UNIT-05")
def test_a_user_without_a_manager_is_told(box: SystemdBox) -> None:
    with routed(box, "--user", "nobody") as command:
        assert command.ask("hello").cgroup.startswith("/procroute.slice/")
        assert "no manager of nobody runs" in command.told()


@promise("UNIT-05")
def test_so_is_one_whose_manager_was_stopped(box: SystemdBox) -> None:
    """What it listened on is there still (257)."""
    box.run(["systemctl", "stop", "user@1000.service"], check=True)
    with routed(box, "--user", "ada") as command:
        assert command.ask("hello").cgroup.startswith("/procroute.slice/")
        assert "no manager of ada runs" in command.told()
    until(lambda: came_back(box), what="her manager")


@promise("UNIT-05", "CLEAN-01")
def test_cleanup_lets_a_users_command_go_within_his_tree(box: SystemdBox) -> None:
    with box.popen([*run_by("wan1", "--user", "ada"), "sleep", "60"], env=ENVIRONMENT) as process:
        until(lambda: f"{USERS}/procroute" in str(box.ask("cgroups")), what="the user's slice")
        until(lambda: "scope" in str(box.units("procroute-run*", user=True)), what="the user's scope")
        refused = procroute(box, "cleanup")
        assert (refused.returncode, "sleep" in refused.stderr) == (3, True)
        assert procroute(box, "cleanup", "--force").returncode == 0
        assert not [path for path in box.ask("cgroups") if "procroute" in path]
        pid = box.sh("pgrep -x sleep").split()[0]
        assert f"0::{USERS}/init.scope" in box.sh(f"cat /proc/{pid}/cgroup")
        box.sh(f"kill {pid}")
        process.wait(10)


@promise("UNIT-05")
@pytest.mark.parametrize("how", ["systemctl stop user@1000.service", "loginctl terminate-user ada"])
def test_logging_out_ends_a_users_command(box: SystemdBox, how: str) -> None:
    """And nobody else's on the same route."""
    with routed(box) as of_root:
        with box.popen([*run_by("wan1", "--user", "ada"), "sleep", "60"], env=ENVIRONMENT) as process:
            until(lambda: "scope" in str(box.units("procroute-run*", user=True)), what="the user's scope")
            box.run(how.split(), check=True)
            assert process.wait(10) == 128 + signal.SIGTERM
        for family in FAMILIES:
            assert not astray(box, of_root, "tcp", family, box.wan1)
        until(lambda: came_back(box), what="her manager")
    assert not box.units("procroute*")
    assert not ours(box)


def came_back(box: SystemdBox) -> bool:
    """Whether ada's manager answers again. It is asked for more than once: logind may still close it, or take
    it for started."""
    box.sh("loginctl enable-linger ada; systemctl start user@1000.service || true")
    state = box.run(["loginctl", "show-user", "ada", "--value", "--property=State"]).stdout.strip()
    return state == "lingering" and box.as_ada(["busctl", "--user", "status"]).returncode == 0
