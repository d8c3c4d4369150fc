"""`inspect` tells of each socket by which adapter it leaves: as the server at the other end saw it."""

from __future__ import annotations

from typing import Any

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, BOB, Daemon, placed
from tests.netns.inhabitants import bystander
from tests.netns.running import ENVIRONMENT, PROCROUTE
from tests.netns.traffic import SERVER, both_families
from tests.netns.watching import ask, started, watcher

promise = pytest.mark.promise


def sockets(lab: Lab, pid: int, user: int = 0) -> list[dict[str, Any]]:
    """The internet sockets of a process that reach the world."""
    told = ask(lab, user, do="inspect", pid=pid)
    assert told["process"]["pid"] == pid
    found: list[dict[str, Any]] = told.get("sockets", [])
    return found


@promise("FEED-09")
@both_families
@pytest.mark.parametrize("way", ["tcp", "udp", "unconnected"])
def test_a_routed_process_leaves_by_its_adapter(machine: tuple[Lab, Daemon], family: int, way: str) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command:
        heard = command.ask(way, to=SERVER[family], keep="one")
        assert heard.router == "wan1"
        (one,) = sockets(lab, command.ask("hello").pid, ALICE)
        assert (one["adapter"], one["on_route"]) == ("wan1", True)
        assert one["kind"] == ("tcp" if way == "tcp" else "udp")
        if way != "unconnected":
            assert heard.local in one["local"]
            assert SERVER[family] in one["remote"]
            assert one["state"] == "established"
        (assigned,) = running.ps()
        told = ask(lab, ALICE, do="inspect", pid=command.ask("hello").pid)
        assert told["process"]["assignment"] == assigned["id"]
        assert told["process"]["command"]
        assert told["executable"]


@promise("FEED-09")
@both_families
def test_what_is_older_than_the_assignment_is_told(machine: tuple[Lab, Daemon], family: int) -> None:
    lab, _ = machine
    with bystander(lab) as other:
        pid = other.ask("hello").pid
        assert other.ask("tcp", to=SERVER[family], keep="old").router == "wan2"
        (before,) = sockets(lab, pid)
        assert before["adapter"] == "wan2"
        assert "on_route" not in before
        words = [*PROCROUTE, "assign", str(pid), "--via", "wan1"]
        assert not lab.run(words, env=ENVIRONMENT).returncode
        assert other.ask("tcp", to=SERVER[family], keep="new").router == "wan1"
        told = {(one["adapter"], one["on_route"]) for one in sockets(lab, pid)}
        assert told == {("wan2", False), ("wan1", True)}
        assert not lab.run([*PROCROUTE, "release", str(pid)], env=ENVIRONMENT).returncode


@promise("FEED-09")
@both_families
def test_what_is_older_than_the_route_of_now_goes_on_by_the_other(
    machine: tuple[Lab, Daemon], family: int
) -> None:
    """Also where nft gave it its mark by its cgroup: it has carried that itself since."""
    lab, _ = machine
    with bystander(lab) as other:
        pid = other.ask("hello").pid
        for via, name in (("wan1", "old"), ("wan2", "new")):
            assert not lab.run([*PROCROUTE, "assign", str(pid), "--via", via], env=ENVIRONMENT).returncode
            assert other.ask("tcp", to=SERVER[family], keep=name).router == via
        told = {(one["adapter"], one["on_route"]) for one in sockets(lab, pid)}
        assert told == {("wan1", False), ("wan2", True)}
        assert not lab.run([*PROCROUTE, "release", str(pid)], env=ENVIRONMENT).returncode


@promise("FEED-09")
@both_families
def test_sockets_of_the_machine_itself_are_as_the_route_says(
    machine: tuple[Lab, Daemon], family: int
) -> None:
    lab, _ = machine
    with placed(lab, ALICE) as command:
        loopback = "127.0.0.1" if family == 4 else "::1"
        command.ask("serve", transport="tcp", address=loopback, port=7300)
        (one,) = sockets(lab, command.ask("hello").pid)
        assert one["state"] == "listening"
        assert one["local"].endswith(":7300")


@promise("FEED-09")
def test_others_and_what_is_elsewhere_are_refused(machine: tuple[Lab, Daemon]) -> None:
    lab, _ = machine
    with (
        started(lab, "sleep", "7301", user=BOB),
        started(lab, "unshare", "-n", "sleep", "7302"),
        watcher(lab, processes=True) as seen,
    ):
        for word in ("7301", "7302"):
            seen.told(word, name="sleep")
        bobs, elsewhere = (seen.named(word)[0]["pid"] for word in ("7301", "7302"))
        for user, pid, why in (
            (ALICE, bobs, "is not yours"),
            (ALICE, 1, "is not yours"),
            (0, elsewhere, "another network namespace"),
            (0, 999_999, "there is no process"),
        ):
            with pytest.raises(AssertionError, match=why):
                ask(lab, user, do="inspect", pid=pid)
        assert ask(lab, BOB, do="inspect", pid=bobs)["process"]["name"] == "sleep"
        assert ask(lab, do="inspect", pid=1)["process"]["pid"] == 1
