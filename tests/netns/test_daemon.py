"""The daemon places commands for users, tells of them, lets them go; what lives survives its end."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, BOB, Daemon, as_user, called, daemon, placed
from tests.netns.inhabitants import PROBE, Command, Inhabitant, bystander, start
from tests.netns.running import ENVIRONMENT, PROCROUTE, ours, unchanged, until
from tests.netns.traffic import SERVER, WAYS, astray, both_families, gateway
from tests.netns.watching import ask

promise = pytest.mark.promise


@pytest.fixture(scope="module", params=[(m, r) for m in ("both", "none", "wan1") for r in (0, 1, 2)], ids=str)
def alices(request: pytest.FixtureRequest) -> Iterator[Command]:
    """A command of a user's by wan1."""
    main, rp_filter = request.param
    given = ("--gateway4", "198.51.100.1", "--gateway6", "2001:db8:1::1") if main == "none" else ()
    with Lab(main=main, rp_filter=rp_filter) as lab, daemon(lab), placed(lab, ALICE, *given) as command:
        yield command


@promise("DAEMON-01")
@pytest.mark.parametrize("way", WAYS)
@both_families
def test_a_users_command_leaves_by_the_adapter(alices: Command, family: int, way: str) -> None:
    assert not astray(alices.lab, alices, way, family, alices.lab.wan1)


@promise("DAEMON-01")
def test_the_command_stays_the_users(alices: Command) -> None:
    """It is the very process that asked: the daemon starts nothing."""
    hello = alices.ask("hello")
    assert alices.lab.sh(f"stat -c %u /proc/{hello.pid}").strip() == str(ALICE)
    assert alices.lab.sh(f"ps -o ppid= -p {hello.pid}").strip() != ""


@pytest.fixture
def machine() -> Iterator[tuple[Lab, Daemon]]:
    """A machine with a daemon, on which nothing is routed."""
    with Lab(main="both") as lab, daemon(lab) as running:
        yield lab, running


@promise("DAEMON-02")
def test_what_ends_is_forgotten_and_removed(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    with placed(lab, ALICE):
        (found,) = running.ps()
        assert (found["route"], found["how"], found["owner"], found["by"]) == ("wan1", "run", ALICE, ALICE)
        assert found["processes"]
    until(lambda: not running.ps())
    until(lambda: not {*ours(lab)} - {"files"})


@promise("DAEMON-03")
@both_families
def test_others_are_shown_no_command_line_and_may_not_let_go(
    machine: tuple[Lab, Daemon], family: int
) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command:
        (mine,) = running.ps(user=ALICE)
        (others,) = running.ps(user=BOB)
        assert mine["command"]
        assert mine["processes"][0]["command"]
        assert not others["command"]
        assert not any(process["command"] for process in others["processes"])
        refused = lab.run([*as_user(BOB), *PROCROUTE, "release", f"%{mine['id']}"], env=ENVIRONMENT)
        assert refused.returncode == 125
        assert f"is of {called(lab, ALICE)}\n" in refused.stderr
        assert command.ask("tcp", to=SERVER[family]).router == "wan1"


@promise("DAEMON-03")
@both_families
def test_the_options_of_a_route_are_told_to_whom_they_concern(
    machine: tuple[Lab, Daemon], family: int
) -> None:
    """By them one asks for the same route."""
    lab, running = machine
    router = gateway(lab.wan1, family)
    given = {"via": "wan1", "strict": True, f"gateway{family}": router, "dns": [SERVER[family]]}
    words = ["--strict", f"--gateway{family}", router, "--dns", SERVER[family]]
    with placed(lab, ALICE, *words), placed(lab, ALICE) as other:
        told = {user: ask(lab, user, do="ps")["assignments"][0] for user in (ALICE, 0, BOB)}
        assert [told[user].get("options") for user in (ALICE, 0, BOB)] == [given, given, None]
        ask(lab, ALICE, do="assign", route=given, pids=[other.ask("hello").pid])
        assert {found["route"] for found in running.ps()} == {told[ALICE]["route"]}


@promise("DAEMON-04")
@both_families
@pytest.mark.parametrize("user", [ALICE, 0], ids=["its owner", "root"])
def test_let_go_it_leaves_as_others_do(machine: tuple[Lab, Daemon], family: int, user: int) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command:
        assert command.ask("tcp", to=SERVER[family]).router == "wan1"
        (found,) = running.ps()
        done = lab.run([*as_user(user), *PROCROUTE, "release", f"%{found['id']}"], env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        assert not running.ps()
        assert command.ask("tcp", to=SERVER[family]).router == "wan2"
        assert command.ask("unconnected", to=SERVER[family]).router == "wan2"


@promise("DAEMON-04")
@both_families
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["LAN", "strict"])
def test_so_does_what_has_an_engine_of_its_own(
    machine: tuple[Lab, Daemon], family: int, options: tuple[str, ...]
) -> None:
    """It takes that for no leaving, which it would end when strict."""
    lab, running = machine
    env = ENVIRONMENT | {"PROCROUTE_SOCKET": "/run/nobody-listens"}
    words = [*PROCROUTE, "run", "--via", "wan1", *options, "--", *PROBE]
    with start(lab, words, env) as (process, errors):
        command = Inhabitant(process, errors)
        pid = str(command.ask("hello").pid)
        until(lambda: [a["how"] for a in running.ps()] == ["embedded"])
        assert not lab.run([*PROCROUTE, "release", pid], env=ENVIRONMENT).returncode
        until(lambda: "it was released" in command.told())
        assert command.ask("tcp", to=SERVER[family]).router == "wan2"
        assert command.end() == 0


@promise("DAEMON-08")
@both_families
def test_a_route_that_got_the_number_of_another_is_not_taken_for_that(
    machine: tuple[Lab, Daemon], family: int
) -> None:
    lab, running = machine
    lan = lab.lan.wire.gateway4 if family == 4 else lab.lan.wire.gateway6
    with placed(lab, ALICE):
        (asked_for,) = running.ps()
    until(lambda: not {*ours(lab)} - {"files"})
    with placed(lab, 0, "--strict") as strict, bystander(lab) as moved:
        (other,) = running.ps()
        assert (asked_for["route"], other["route"]) == ("wan1", "wan1~strict")
        assert strict.ask("tcp", to=lan).router == "wan1"
        assert not _assign(lab, str(moved.ask("hello").pid))
        assert moved.ask("tcp", to=SERVER[family]).router == "wan1"
        assert moved.ask("tcp", to=lan).router == "lan"


@promise("DAEMON-05")
@both_families
def test_a_killed_daemon_leaves_everything_as_it_is(machine: tuple[Lab, Daemon], family: int) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command, bystander(lab) as other:
        before = running.ps()
        running.kill()
        assert command.ask("tcp", to=SERVER[family]).router == "wan1"
        with daemon(lab) as again:
            assert "1 assignment adopted" in again.log()
            assert again.ps() == before
            assert command.ask("tcp", to=SERVER[family]).router == "wan1"
            assert other.ask("tcp", to=SERVER[family]).router == "wan2"


@promise("DAEMON-05")
@both_families
def test_a_stopped_daemon_leaves_what_lives_and_says_so(family: int) -> None:
    with Lab(main="both") as lab, unchanged(lab):
        with daemon(lab) as running:
            with placed(lab, ALICE) as command:
                assert running.stop() == 0
                assert "1 assignment stays on its route" in running.log()
                assert command.ask("tcp", to=SERVER[family]).router == "wan1"
                with daemon(lab) as again:
                    assert len(again.ps()) == 1
        with daemon(lab) as last:
            until(lambda: not last.ps())


@promise("DAEMON-06")
def test_a_damaged_file_is_set_aside(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command:
        (before,) = running.ps()
        running.kill()
        file = lab.path(f"/run/procroute/assignments/{before['id']}.json")
        file.write_bytes(file.read_bytes()[:-10])
        lab.path("/run/procroute/assignments/last").write_bytes(b"\xff")
        with daemon(lab) as again:
            assert again.log().count("set aside") == 2
            (found,) = again.ps()
            assert found["cgroup"] == before["cgroup"]
            assert found["owner"] == ALICE
            assert command.ask("tcp", to=SERVER[4]).router == "wan1"
        assert lab.path(f"/run/procroute/damaged/{before['id']}.json").exists()
        lab.sh("rm -r /run/procroute/damaged")


@promise("DAEMON-07")
def test_a_second_daemon_is_refused(machine: tuple[Lab, Daemon]) -> None:
    lab, _ = machine
    second = lab.run([*PROCROUTE, "daemon"], env=ENVIRONMENT)
    assert second.returncode == 125
    assert "runs already" in second.stderr


def _assign(lab: Lab, *words: str, user: int = 0) -> str:
    done = lab.run([*as_user(user), *PROCROUTE, "assign", *words, "--via", "wan1"], env=ENVIRONMENT)
    return "" if done.returncode == 0 else done.stderr or "it said nothing"


@promise("DAEMON-08")
@both_families
@pytest.mark.parametrize("by", ["pid", "name"])
def test_what_runs_already_is_moved_and_given_back(machine: tuple[Lab, Daemon], family: int, by: str) -> None:
    lab, running = machine
    lab.sh(f"ln -s {PROBE[0]} /tmp/the-backup")
    with bystander(lab, "/tmp/the-backup") as moved, bystander(lab) as other:
        pid = str(moved.ask("hello").pid)
        ways = ("tcp", "udp", "unconnected")
        assert {moved.ask(way, to=SERVER[family]).router for way in ways} == {"wan2"}
        assert not _assign(lab, *([pid] if by == "pid" else ["--name", "the-backup"]))
        assert {moved.ask(way, to=SERVER[family]).router for way in ways} == {"wan1"}
        assert {other.ask(way, to=SERVER[family]).router for way in ways} == {"wan2"}
        (found,) = running.ps("--sockets")
        assert [process["pid"] for process in found["processes"]] == [int(pid)]
        assert not lab.run([*PROCROUTE, "release", pid], env=ENVIRONMENT).returncode
        assert {moved.ask(way, to=SERVER[family]).router for way in ways} == {"wan2"}
    until(lambda: not {*ours(lab)} - {"files"})


@promise("DAEMON-09")
def test_what_cannot_be_moved_is_refused(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    lab.sh(f"ln -s {PROBE[0]} /tmp/the-backup")
    with bystander(lab, "/tmp/the-backup") as other:
        pid = str(other.ask("hello").pid)
        apart = lab.popen(["unshare", "-n", "sh", "-c", "echo $$; exec sleep 60"], stdout=subprocess.PIPE)
        assert apart.stdout
        there = apart.stdout.readline().strip()
        for words, user, why in (
            ([pid], ALICE, f"process {pid} is not yours\n"),
            (
                ["--name", "the-backup"],
                ALICE,
                f"no process the-backup can be moved for you: process {pid} is",
            ),
            (["--name", Path(sys.executable).name], ALICE, "can be moved for you"),  # who asks is no answer
            (["1"], 0, "cannot be moved"),
            (["1"], ALICE, "process 1 is not yours\n"),
            (["999999"], 0, "no process 999999"),
            (["--name", "nobody-has-this"], 0, "no process nobody-has-this"),
            (["--unit", "no-such-unit"], 0, "no-such-unit.service"),
            ([there], 0, "another network namespace"),
        ):
            assert why in _assign(lab, *words, user=user)
        with pytest.raises(AssertionError, match="named in two ways"):
            ask(lab, do="assign", route={"via": "wan1"}, pids=[int(pid)], name="the-backup")
        apart.kill_session()
        apart.stdout.close()
        assert not running.ps()
        assert not {*ours(lab)} - {"files"}


@promise("TRUE-03")
@both_families
def test_a_given_gateway_that_does_not_answer_is_laid_to_nobody(
    machine: tuple[Lab, Daemon], family: int
) -> None:
    """It is known to be silent when the route is opened: the keeper takes away what the writer has made."""
    lab, running = machine
    gateway = {4: "192.0.2.1", 6: "2001:db8:ffff::1"}[family]
    there = f"ip -{family} route show table all proto 112 | grep 'default via {gateway} ' || true"
    with bystander(lab) as moved:
        lab.sh(f"ip neigh replace {gateway} dev wan1 nud failed")
        assert not _assign(lab, str(moved.ask("hello").pid), f"--gateway{family}", gateway)
        until(lambda: not lab.sh(there))
        lab.sh(f"ip -{family} rule del pref 4699")
        until(lambda: re.search("repaired in .*: 1 ip rule; changed by", running.log()), what=running.log())
        assert running.log().count("repaired") == 1, running.log()


@promise("DAEMON-13")
def test_the_log_says_what_comes_and_goes(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    whose = called(lab, ALICE)
    with placed(lab, ALICE) as command:
        pid = command.ask("hello").pid
        (found,) = running.ps()
        about = f"assignment {found['id']} of {whose} on wan1"
        until(lambda: f"{about} (run): " in running.log())
        assert f"(pid {pid})" in running.log()
        assert "probe.py" not in running.log(), "arguments are not for the log"
    until(lambda: f"{about}: ended" in running.log())
    with bystander(lab) as moved:
        pid = moved.ask("hello").pid
        assert not _assign(lab, str(pid))
        (found,) = running.ps()
        about = f"assignment {found['id']} of root on wan1"
        assert f"{about} (assign): " in running.log()
        assert not lab.run([*PROCROUTE, "release", str(pid)], env=ENVIRONMENT).returncode
        assert f"{about}: released by root" in running.log()
