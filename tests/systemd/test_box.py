"""The box is what tests/systemd takes it for: a real systemd, on file systems of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from procroute.lab import WAN2, Lab
from tests.lab.ends import alive, gone, living, owner_elsewhere, wait_until
from tests.lab.host import cgroup_names, the_host
from tests.lab.systemd_box import SYSTEMD, SystemdBox
from tests.netns.inhabitants import bystander
from tests.netns.traffic import FAMILIES, astray


def test_process_1_is_the_systemd_that_is_meant(box: SystemdBox) -> None:
    assert box.path("/proc/1/comm").read_text() == "systemd\n"
    said = box.run(["systemctl", "--version"], check=True).stdout
    assert said.startswith(f"systemd {SYSTEMD[box.suite]} ")


def test_it_is_up_and_nothing_of_it_has_failed(box: SystemdBox) -> None:
    assert box.run(["systemctl", "is-system-running"]).stdout == "running\n", box.sh("systemctl --failed")
    assert box.as_ada(["systemctl", "--user", "is-system-running"]).stdout == "running\n"
    assert box.run(["loginctl", "show-user", "ada", "--value", "-p", "Linger"]).stdout == "yes\n"
    names = box.run(["busctl", "list", "--acquired"], check=True).stdout
    assert "org.freedesktop.login1" in names


def test_its_manager_keeps_off_the_adapters(box: SystemdBox) -> None:
    """networkd would delete foreign rules and routes; who wants it starts it."""
    assert box.run(["systemctl", "is-active", "systemd-networkd"]).stdout == "inactive\n"


def test_units_can_be_made_by_its_managers(box: SystemdBox) -> None:
    where = ["systemd-run", "--wait", "--pipe", "--", "grep", "^0::", "/proc/self/cgroup"]
    assert box.run(where, check=True).stdout.startswith("0::/system.slice/run-")
    by_ada = box.as_ada([where[0], "--user", *where[1:]], check=True).stdout
    assert by_ada.startswith("0::/user.slice/user-1000.slice/user@1000.service/")


@pytest.mark.parametrize("family", FAMILIES)
def test_bystanders_go_by_main(box: SystemdBox, family: int) -> None:
    with bystander(box) as other:
        for way in ("tcp", "udp", "unconnected", "ping"):
            assert not astray(box, other, way, family, box.uplinks[WAN2.adapter])


def test_the_hosts_files_are_out_of_its_reach(box: SystemdBox) -> None:
    with tempfile.TemporaryDirectory() as directory:
        assert not box.path(directory).exists()
        box.run(["systemd-tmpfiles", "--create", "--remove", "--clean"])
        assert os.path.isdir(directory)
    checkout = Path(__file__).parents[2]
    assert box.run(["touch", str(checkout / "README.md")]).returncode


def test_nothing_of_it_stays() -> None:
    before = the_host()
    with SystemdBox("bookworm") as box:
        systemd = box.machine.pid
        procs = Path(box.machine.procs)
        assert procs.exists()
        assert the_host() == before
    assert not Path(f"/proc/{systemd}").exists()
    assert not procs.exists()
    assert the_host() == before


@pytest.mark.parametrize(("suite", "sent"), [("bookworm", signal.SIGKILL), ("trixie", signal.SIGINT)])
def test_it_ends_with_its_owner(suite: str, sent: int) -> None:
    with owner_elsewhere(f"SystemdBox('{suite}')") as (owner, systemd, keeper, name):
        assert name in cgroup_names()
        owner.send_signal(sent)
        wait_until(lambda: not alive(systemd) and not alive(keeper))
        assert name not in cgroup_names()


def test_what_a_killed_keeper_leaves_is_swept_by_the_next_lab() -> None:
    with owner_elsewhere("SystemdBox('trixie')") as (_, systemd, keeper, name):
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(systemd))
        with Lab():
            assert name not in cgroup_names()


@pytest.mark.parametrize(
    ("sent", "delay"),
    [(signal.SIGKILL, 0.2), (signal.SIGKILL, 0.5), (signal.SIGKILL, 0.9), (signal.SIGINT, 0.6)],
)
def test_an_end_while_it_boots_leaves_nothing(sent: int, delay: float) -> None:
    word = f"BOX_OF={uuid.uuid4().hex}"
    name, _, value = word.partition("=")
    before = cgroup_names()
    code = (
        "import time; from tests.lab.systemd_box import SystemdBox; SystemdBox('bookworm').__enter__();"
        " time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL, env={**os.environ, name: value}
    ) as owner:
        time.sleep(delay)
        assert living(word)
        owner.send_signal(sent)
        owner.wait(20)
    gone(word)
    # what is left then belongs to tests that run beside this one
    wait_until(lambda: all(alive(int(name.split("-")[3])) for name in cgroup_names() - before))
