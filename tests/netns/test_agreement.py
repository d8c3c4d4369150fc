"""Engines on one adapter agree, also one that has not heard what the others have."""

from __future__ import annotations

import signal
import subprocess

import pytest

from procroute.lab import Lab
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.inhabitants import Command, routed
from tests.netns.running import procroute, unchanged, until
from tests.netns.traffic import NO_WAY, SERVER

MACHINE = {4: "198.51.100.2", 6: "2001:db8:1::2"}
GATEWAY = {4: "198.51.100.1", 6: "2001:db8:1::1"}


def refused(command: Command, family: int) -> bool:
    return command.ask("tcp", to=SERVER[family], seconds=0.5).error in NO_WAY


def default_of_the_first(lab: Lab, family: int) -> str:
    """The default of the first route; none when its engine has found the gateway deaf."""
    return lab.ip(f"-{family} route show table 7301 default")


def ask_the_machine(lab: Lab, family: int) -> None:
    """The deaf gateway asks for the machine's link address: that makes its neighbour entry STALE."""
    lab.wan1.run(["ip", "neigh", "flush", "dev", "up0"])
    lab.wan1.run(["ping", "-n", "-c1", "-W0.05", MACHINE[family]])


@pytest.mark.promise("DOWN-05", "DOWN-06", "CLI-13", "CLI-14", "CLI-15")
@pytest.mark.parametrize("first", ["living", "killed"])
@pytest.mark.parametrize("family", [4, 6], ids=lambda family: f"IPv{family}")
def test_a_later_engine_takes_a_deaf_gateway_for_what_the_first_found(family: int, first: str) -> None:
    """Nobody brings the default back while it is deaf, and all do when it answers."""
    with Lab() as lab, unchanged(lab):
        with crowd(lab, [("wan1",)]) as (one,):
            lab.wan1.silence()
            until(
                lambda: refused(one, family) and not default_of_the_first(lab, family), what="its withdrawal"
            )
            if first == "killed":
                kill_engine(one.process)
            ask_the_machine(lab, family)
            news = lab.popen(["ip", "monitor", "route"], stdout=subprocess.PIPE)
            assert news.stdout
            with routed(lab, "--strict") as two, routed(lab) as three:
                for _ in range(5):
                    ask_the_machine(lab, family)
                    assert all(refused(command, family) for command in (one, two, three))
                news.send_signal(signal.SIGINT)
                told = news.stdout.read()
                defaults = [line for line in told.splitlines() if "default" in line]
                assert [line for line in defaults if GATEWAY[family] in line] == []
                lab.wan1.restore()
                until(lambda: not any(refused(command, family) for command in (one, two, three)), 2, "a way")
            news.wait(5)
            news.stdout.close()
            if first == "killed":
                hang_up(one.process)
        until(lambda: procroute(lab, "cleanup").returncode == 0, what="the command's end")
