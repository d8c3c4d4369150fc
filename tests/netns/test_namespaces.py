"""Network namespaces that share a tree of cgroups: what a run leaves in one that has gone is removed from
another, what lives in one is let alone."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from tests.netns.running import ENVIRONMENT, cgroups, procroute, run, run_by, unchanged, until

# A network namespace with an uplink of its own, in which `procroute` runs; what it runs waits for a line.
_WITHIN = """
ip link set lo up; ip link add wan1 type veth peer name far; ip link set far up; ip link set wan1 up
ip addr add 198.51.100.9/24 dev wan1; ip addr add 2001:db8:1::9/64 dev wan1 nodad
ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:1::1
exec "$@"
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def begin(lab: Lab) -> Process:
    """A run in a network namespace of its own; its command tells the engine's pid and waits."""
    by = run_by("wan1", "--dns", "system")
    words = ["unshare", "--net", "sh", "-ec", _WITHIN, "sh", *by, "sh", "-c", "echo $PPID; read go"]
    return lab.popen(words, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.promise("CLEAN-01", "CLEAN-03", "KILL-02", "KILL-03")
@pytest.mark.parametrize("by", ["cleanup", "run"])
def test_what_is_left_of_a_namespace_that_has_gone_is_removed(lab: Lab, by: str) -> None:
    with unchanged(lab):
        with begin(lab) as process:
            assert process.stdin
            assert process.stdout
            lab.sh(f"kill -9 {int(process.stdout.readline())}")
            process.stdin.write("\n")
        until(lambda: "populated 0" in lab.sh("cat /sys/fs/cgroup/procroute.slice/cgroup.events"))
        assert cgroups(lab)
        if by == "run":
            assert run(lab, "wan1", "true").returncode == 0
        else:
            done = procroute(lab, "cleanup")
            assert (done.stdout, done.stderr) == ("1 route removed: nothing of procroute's is left\n", "")
        assert not cgroups(lab)


@pytest.mark.promise("CLEAN-02", "CLI-14")
def test_what_lives_in_another_is_let_alone(lab: Lab) -> None:
    with unchanged(lab):
        with begin(lab) as process:
            assert process.stdin
            assert process.stdout
            engine = int(process.stdout.readline())
            before = cgroups(lab)
            assert procroute(lab, "cleanup").stdout == "nothing was left\n"
            assert run(lab, "wan1", "true").returncode == 0
            assert cgroups(lab) == before
            # also without its engine, as long as a process follows the route
            lab.sh(f"kill -{signal.SIGKILL} {engine}")
            assert procroute(lab, "cleanup", "--force").stdout == "nothing was left\n"
            assert cgroups(lab) == before
            process.stdin.write("\n")
        until(lambda: procroute(lab, "cleanup").returncode == 0 and not cgroups(lab))
