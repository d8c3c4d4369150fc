"""A lab leaves nothing behind, however it ends, and does not meet another."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from procroute.errors import ProcrouteError
from procroute.lab import Lab
from procroute.lab.topology import SERVER4
from tests.lab.ends import alive, owner_elsewhere, wait_until
from tests.lab.host import cgroup_names, the_host


def test_nothing_of_the_host_changes() -> None:
    before = the_host()
    with Lab() as lab:
        lab.sh(
            "ip rule add pref 5 table 5; mount -t tmpfs x /mnt; echo nameserver 192.0.2.1 >/etc/resolv.conf"
        )
        during = the_host()
        name = next(part for part in lab.machine.procs.split("/") if part.startswith("procroute-lab-"))
        init = lab.machine.pid
        assert name in cgroup_names()
        lab.popen(["sh", "-c", "setsid sleep 82 & sleep 82"])
    assert during == before
    assert the_host() == before
    assert name not in cgroup_names()
    assert not alive(init)


def test_two_labs_do_not_meet() -> None:
    with Lab() as one, Lab() as other:
        assert one.sh("readlink /proc/self/ns/net") != other.sh("readlink /proc/self/ns/net")
        client = [sys.executable, "-m", "procroute.lab.client"]
        assert '"router": "wan2"' in one.run([*client, "tcp", SERVER4]).stdout
        one.settle()
        other.settle()
        assert one.wan2.packets()
        assert not other.wan2.packets()
        one.sh("touch /tmp/mine /run/mine; mkdir /sys/fs/cgroup/mine; ip link set wan1 down")
        assert other.sh("ls -d /tmp/mine /run/mine /sys/fs/cgroup/mine 2>/dev/null; true") == ""
        assert "state UP" in other.ip("link show wan1")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lab_ends_with_its_owner(sent: int) -> None:
    with owner_elsewhere() as (owner, init, keeper, name):
        assert name in cgroup_names()
        owner.send_signal(sent)
        wait_until(lambda: not alive(init) and not alive(keeper))
        assert name not in cgroup_names()


def test_a_killed_keeper_takes_the_lab_along_and_the_next_lab_sweeps() -> None:
    with owner_elsewhere() as (_, init, keeper, name):
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(init))
        with Lab():
            assert name not in cgroup_names()


def test_a_living_lab_is_not_swept() -> None:
    with owner_elsewhere() as (_, init, _, name):
        with Lab():
            assert name in cgroup_names()
        assert alive(init)


def test_a_lab_that_cannot_be_built_leaves_nothing() -> None:
    before = cgroup_names()
    with (
        pytest.raises(ProcrouteError, match=r"FileNotFoundError.*nothing"),
        Lab(keep=["/tmp/there/is/nothing"]),
    ):
        pass
    # what is left then belongs to tests that run beside this one
    wait_until(lambda: all(alive(int(name.split("-")[3])) for name in cgroup_names() - before))


def test_a_lab_inside_a_lab() -> None:
    """The machine is a host with nothing but cgroup v2: a lab works there as it does here."""
    code = """if True:
        from procroute.lab import Lab
        with Lab() as lab:
            print(*lab.sh("hostname; grep ^0: /proc/self/cgroup; cat /sys/class/net/wan1/carrier").split())
    """
    with Lab() as lab:
        before = lab.ask("cgroups")
        done = lab.run([sys.executable, "-c", code], cwd=os.getcwd())
        assert done.stdout == "machine 0::/session 1\n", done.stderr
        assert lab.ask("cgroups") == before


def test_root_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ProcrouteError) as raised, Lab():
        pass
    assert raised.value.code == "not-root"
