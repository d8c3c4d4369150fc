"""`procroute cleanup`: everything of ours, nothing else, and never under the feet of who still runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.snapshot import changes, snapshot
from tests.lab import foreign
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.daemons import daemon
from tests.netns.inhabitants import bystander, routed
from tests.netns.ruled import rule, script, write
from tests.netns.running import ENVIRONMENT, ours, procroute, run_by, unchanged, until
from tests.netns.traffic import SERVER, both_families, elsewhere

PLACED = ["sh", "-c", 'echo $$ >/sys/fs/cgroup/mine/deeper/cgroup.procs; exec "$@"', "sh"]
THEIRS = (
    "procroute: left, since nothing says under which numbers procroute could have made it: "
    + ", ".join(f"rule 4800: from all fwmark 0x2 lookup 6999 ({family})" for family in ("IPv4", "IPv6"))
    + ", table 6999 (IPv4), table 6999 (IPv6)\n"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """With other people's things beside ours, some of which look like ours."""
    with Lab(rp_filter=1) as lab:
        foreign.firewall(lab)
        foreign.mwan3_rules(lab)
        foreign.dhcp_rules(lab)
        foreign.sysctls(lab)
        lab.nft("table ip procroute {\n chain theirs {\n counter\n }\n}\n")
        for family in ("-4", "-6"):
            lab.ip(f"{family} rule add pref 4800 fwmark 0x2 lookup 6999 protocol 112")
            lab.ip(f"{family} route add unreachable default table 6999 proto 112")
        lab.sh("mkdir -p /sys/fs/cgroup/procroute-wan1.slice /sys/fs/cgroup/procroute.slice.d")
        lab.sh("mkdir -p /etc/iproute2/rt_tables.d; echo '7999 theirs' >/etc/iproute2/rt_tables.d/x.conf")
        yield lab


def rubble(lab: Lab) -> None:
    """What three engines leave that were killed with their commands."""
    with crowd(lab, [("wan1",), ("wan2", "--strict"), ("wan1", "--dns", "198.51.100.53")]) as commands:
        for command in commands:
            kill_engine(command.process)
            hang_up(command.process)
    until(lambda: not living(lab), what="the commands' end")


def living(lab: Lab) -> str:
    """The pids in our cgroups."""
    return lab.sh("cat /dev/null $(find /sys/fs/cgroup/procroute.slice -name cgroup.procs 2>/dev/null)")


@pytest.mark.promise("CLEAN-01", "CLEAN-02", "CLEAN-05", "KEEP-01", "KEEP-02", "KEEP-05")
def test_it_removes_all_of_ours_and_nothing_else(lab: Lab) -> None:
    with unchanged(lab):
        rubble(lab)
        assert ours(lab).keys() >= {"rules", "entries", "nft", "cgroups", "files", "programs"}
        done = procroute(lab, "cleanup")
        assert (done.returncode, done.stderr) == (0, THEIRS)
        assert done.stdout == "3 routes removed\n"
        again = procroute(lab, "cleanup")
        assert (again.returncode, again.stdout, again.stderr) == (0, "nothing was removed\n", THEIRS)


@pytest.mark.promise("CLEAN-05")
def test_where_nothing_is_it_does_nothing(lab: Lab) -> None:
    with unchanged(lab):
        done = procroute(lab, "cleanup")
        assert (done.returncode, done.stdout, done.stderr) == (0, "nothing was removed\n", THEIRS)
    with Lab() as bare, unchanged(bare):
        done = procroute(bare, "cleanup")
        assert (done.returncode, done.stdout, done.stderr) == (0, "nothing was left\n", "")


@pytest.mark.promise("CLEAN-01")
def test_what_a_killed_daemon_left_goes_and_a_living_ones_stays() -> None:
    with Lab() as lab, unchanged(lab), daemon(lab) as running:
        there = snapshot(lab)
        assert procroute(lab, "cleanup").stdout == "nothing was left\n"
        assert changes(there, snapshot(lab)) == {}
        assert running.ps() == []
        running.kill()
        assert ours(lab).keys() == {"files"}
        done = procroute(lab, "cleanup")
        assert done.stdout == "leftovers removed: nothing of procroute's is left\n"
        assert not ours(lab)


@pytest.mark.promise("CLEAN-06")
@pytest.mark.parametrize("how", ["killed, too", "alive", "alive with its daemon"])
def test_a_holder_goes_with_its_daemon(how: str) -> None:
    with Lab() as lab, daemon(lab) as running:
        program = script(lab)
        write(lab, rule(f'exe = "{program}"', 'when_down = "deny"'))
        assert procroute(lab, "reload").returncode == 0
        assert holders(lab)
        if how != "alive with its daemon":
            running.kill()
        if how == "killed, too":
            lab.sh("kill -9 " + " ".join(holders(lab)))
            until(lambda: not holders(lab))
        if how == "alive":
            assert lab.run([program, "true"]).returncode == 126, "it is denied, as its rule says"
        done = procroute(lab, "cleanup")
        if how == "alive with its daemon":
            assert holders(lab)
            return
        assert done.stdout == "1 route removed: nothing of procroute's is left\n"
        assert not ours(lab)
        assert not holders(lab)
        lab.run([program, "true"], check=True)


def holders(lab: Lab) -> list[str]:
    """The PIDs of holders, as the machine counts."""
    return lab.run(["pgrep", "-f", "procroute.holder"]).stdout.split()


@pytest.mark.promise("CLEAN-02", "NEG-05")
def test_the_comparison_itself_notices(lab: Lab) -> None:
    before = snapshot(lab)
    lab.ip("rule del pref 4800")
    assert changes(before, snapshot(lab)).keys() == {"rules4"}
    lab.ip("rule add pref 4800 fwmark 0x2 lookup 6999 protocol 112")
    assert changes(before, snapshot(lab)) == {}


@pytest.mark.promise("CLEAN-03")
@pytest.mark.parametrize(
    "lost",
    [
        "rm -rf /run/procroute /etc/iproute2/rt_tables.d/procroute.conf",
        "rmdir $(find /sys/fs/cgroup/procroute.slice -depth -type d)",
        "nft delete table inet procroute",
        "for f in 4 6; do ip -$f rule | sed -nE 's/^(4[4-6]..):.*/rule del pref \\1/p' | ip -$f -b -; done",
        "ip -4 route flush proto 112 table all; ip -6 route flush proto 112 table all",
    ],
    ids=["files", "cgroups", "nft table", "rules", "entries"],
)
def test_whatever_is_lost_the_rest_is_found(lost: str) -> None:
    with Lab(main="both") as lab:
        lab.sh("rm -rf /etc/iproute2")  # it is missing where iproute2 keeps all in /usr
        foreign.firewalld(lab)
        with unchanged(lab):
            rubble(lab)
            lab.sh(lost)
            done = procroute(lab, "cleanup")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.endswith(" removed: nothing of procroute's is left\n")
            assert not ours(lab)


@pytest.mark.promise("CLEAN-03")
def test_targets_without_their_record_are_found(lab: Lab) -> None:
    with unchanged(lab):
        rubble(lab)
        for slice_ in lab.path("/sys/fs/cgroup/procroute.slice").glob("*.slice"):
            os.removexattr(slice_, "trusted.procroute")
        assert procroute(lab, "cleanup").returncode == 0
        assert not ours(lab)


@pytest.mark.promise("CLEAN-04")
@pytest.mark.parametrize("engine", ["living", "killed"])
def test_living_processes_are_listed_and_left_alone(lab: Lab, engine: str) -> None:
    with unchanged(lab):
        with crowd(lab, [("wan1",), ("wan2",)]) as commands:
            if engine == "killed":
                kill_engine(commands[0].process)
            before = snapshot(lab)
            done = procroute(lab, "cleanup")
            assert (done.returncode, done.stdout) == (3, "")
            assert changes(before, snapshot(lab)) == {}
            first, *routes, hint = done.stderr.splitlines()
            assert first == "procroute: 2 routed processes are alive"
            listed = [re.fullmatch(r"  (wan\d): python\S* \(pid (\d+)\)", line) for line in routes]
            pids = {f"wan{n}": command.ask("hello").pid for n, command in enumerate(commands, 1)}
            assert {found[1]: int(found[2]) for found in listed if found} == pids
            assert "--force" in hint
            assert commands[0].ask("tcp", to=SERVER[4]).router == "wan1"
            if engine == "killed":
                hang_up(commands[0].process)
        procroute(lab, "cleanup")


@pytest.mark.promise("CLEAN-04", "CLEAN-01")
@both_families
def test_force_lets_them_go_to_where_they_came_from(lab: Lab, family: int) -> None:
    with unchanged(lab):
        lab.sh("mkdir -p /sys/fs/cgroup/mine/deeper")
        with crowd(lab, [("wan1",)], before=PLACED) as (command,):
            assert command.ask("tcp", to=SERVER[family]).router == "wan1"
            kill_engine(command.process)
            done = procroute(lab, "cleanup", "--force")
            assert (done.returncode, done.stderr) == (0, THEIRS)
            assert done.stdout == "1 route removed, 1 process let go\n"
            assert not ours(lab)
            assert command.ask("hello").cgroup.endswith("/mine/deeper")
            assert command.ask("tcp", to=SERVER[family]).router == "wan2"
            hang_up(command.process)
        until(lambda: not lab.sh("cat /sys/fs/cgroup/mine/deeper/cgroup.procs"))
        lab.sh("rmdir /sys/fs/cgroup/mine/deeper /sys/fs/cgroup/mine")


@pytest.mark.promise("CLEAN-04")
def test_force_where_the_origin_is_gone_takes_its_nearest_parent(lab: Lab) -> None:
    with unchanged(lab):
        lab.sh("mkdir -p /sys/fs/cgroup/mine/deeper")
        with crowd(lab, [("wan1",)], before=PLACED) as (command,):
            kill_engine(command.process)
            until(lambda: lab.run(["rmdir", "/sys/fs/cgroup/mine/deeper"]).returncode == 0)
            assert procroute(lab, "cleanup", "--force").returncode == 0
            assert command.ask("hello").cgroup.endswith("/mine")
            hang_up(command.process)
        until(lambda: not lab.sh("cat /sys/fs/cgroup/mine/cgroup.procs"))
        lab.sh("rmdir /sys/fs/cgroup/mine")


@pytest.mark.promise("CLEAN-04")
def test_an_engine_outlives_force_and_ends_as_its_command(lab: Lab) -> None:
    """It does not burn the processor meanwhile, nor bring back what was removed."""
    with unchanged(lab):
        with routed(lab) as command:
            assert procroute(lab, "cleanup", "--force").returncode == 0
            engine = command.process.command_pid()
            before = cpu_seconds(engine)
            assert command.ask("tcp", to=SERVER[4]).router == "wan2"
            lab.ip("link set lan0 mtu 1400")  # news for it
            time.sleep(0.5)
            lab.ip("link set lan0 mtu 1500")
            assert cpu_seconds(engine) - before < 0.3
            assert not ours(lab)


_SERVER = """
import socket
s = socket.create_server(("203.0.113.2", 9000))
input()
client = s.accept()[0]
print(client.recv(99).decode(), flush=True)
"""
_CLIENT = """
import socket, sys
with socket.create_connection(("203.0.113.2", 9000), 5) as s:
    s.sendall(b"hello")
    print("up", flush=True)
    input()
"""


@pytest.mark.promise("CLEAN-04", "CLI-14")
def test_an_engine_that_was_cleaned_up_after_ends_nothing_of_the_next() -> None:
    """Its number is the next route's by then, one of whose clients waits to be accepted.

    In a lab of its own: while a socket of an earlier route's is closing, its number is nobody's.
    """
    pipe = subprocess.PIPE
    with Lab(rp_filter=1) as lab, unchanged(lab):
        with routed(lab):
            assert procroute(lab, "cleanup", "--force").returncode == 0
            words = [*run_by("wan2"), sys.executable, "-S", "-c", _SERVER]
            server = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe)
            until(lambda: lab.sh("ss -Hltn sport = 9000"))
            assert lab.ip("route show table 7301 default")
            client = lab.wan2.popen([sys.executable, "-S", "-c", _CLIENT], stdin=pipe, stdout=pipe)
            assert client.stdout
            assert client.stdout.readline() == "up\n"
            until(lambda: lab.sh("ss -Htn state established sport = 9000"))
        assert lab.sh("ss -Htn state established sport = 9000")
        assert server.communicate("go\n", 10)[0] == "hello\n"
        client.communicate("go\n", 10)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.promise("CLEAN-01", "BY-03")
@both_families
def test_bystanders_notice_nothing(lab: Lab, family: int) -> None:
    with unchanged(lab):
        rubble(lab)
        with bystander(lab) as other:
            lab.clear()
            assert other.ask("tcp", to=SERVER[family]).router == "wan2"
            assert procroute(lab, "cleanup").returncode == 0
            assert other.ask("tcp", to=SERVER[family]).router == "wan2"
            assert not elsewhere(lab, "wan2")
