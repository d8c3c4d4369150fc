"""Rules by executable, with the real daemon: first packets, and what starts do when nobody answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.daemons import Daemon, daemon
from tests.netns.holding import PLACE, busy, first, programs, routers, timed_start
from tests.netns.ruled import write
from tests.netns.running import ENVIRONMENT, until
from tests.netns.traffic import both_families

promise = pytest.mark.promise
COUNT = int(os.environ.get("PROCROUTE_STARTS", "500")) // 2
_AT_ONCE = 200
_OF_SYSTEMD = 40
"""So many at once where a scope is asked of systemd for each: under load it makes 15 to 20 in a second."""
RULE = f'[[rule]]\nexe = ["{PLACE}/first4", "{PLACE}/first6"]\nvia = "wan1"\n'


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A machine whose first default route is by wan2, with programs whose first system call connects."""
    with Lab(main="both") as made:
        programs(made)
        yield made


def starts(lab: Lab, family: int, count: int) -> dict[str, int]:
    """By which routers so many starts came out; those that were denied are nowhere."""
    words = [f"{PLACE}/starts", "many", str(count), "8", first(family)]
    return dict(routers(lab.run(words, timeout=60 + count / 2).stdout))


@promise("RULE-40")
@both_families
def test_the_first_packet_of_each_start_is_right_under_load(lab: Lab, family: int) -> None:
    write(lab, RULE + "enabled = false\n")
    with daemon(lab):
        assert starts(lab, family, 5) == {"wan2": 5}
    write(lab, RULE)
    with daemon(lab) as running, busy(lab):
        assert starts(lab, family, COUNT) == {"wan1": COUNT}, running.log()
        until(lambda: not running.ps(), what="the end of what has ended")


@promise("RULE-40", "HOLD-03")
@both_families
def test_each_of_many_starts_at_once_has_its_turn(lab: Lab, family: int) -> None:
    """More than the daemon can place in the time that it has for one."""
    write(lab, RULE)
    count = _OF_SYSTEMD if lab.path("/run/systemd/system").is_dir() else _AT_ONCE
    with daemon(lab) as running, busy(lab):
        words = [f"{PLACE}/starts", "many", str(count), str(count), first(family)]
        assert dict(routers(lab.run(words, timeout=60).stdout)) == {"wan1": count}, running.log()


@promise("RULE-41")
@both_families
@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize(("when_down", "router"), [("deny", None), ("allow", "wan2")])
def test_nobody_waits_long_for_a_daemon_that_does_not_answer(
    lab: Lab, how: str, when_down: str, router: str | None, family: int
) -> None:
    write(lab, f'{RULE}when_down = "{when_down}"\n')
    with daemon(lab) as running:
        assert starts(lab, family, 1) == {"wan1": 1}
        if how == "killed":
            running.kill()
        else:
            os.kill(running.process.command_pid(), signal.SIGSTOP)
        seconds, status = timed_start(lab, first(family))
        assert seconds < 1.5
        assert bool(status) == (when_down == "deny")
        assert starts(lab, family, 2) == ({} if router is None else {router: 2})
        if how == "stopped":
            _go_on(running)
            until(lambda: starts(lab, family, 1) == {"wan1": 1})
            assert "as the daemon did not answer" in running.log()
    if how == "killed":
        with daemon(lab) as again:
            assert starts(lab, family, 3) == {"wan1": 3}, again.log()
            assert "no-daemon" in again.log()


@promise("RULE-41")
@both_families
@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("when_down", ["deny", "allow"])
def test_many_at_once_wait_no_longer_when_the_daemon_fails_amid_them(
    lab: Lab, how: str, when_down: str, family: int
) -> None:
    write(lab, f'{RULE}when_down = "{when_down}"\n')
    # They go before all others, so that what they wait for is the hold alone.
    words = ["chrt", "--rr", "1", f"{PLACE}/starts", "many", str(_AT_ONCE), str(_AT_ONCE), first(family)]
    with daemon(lab) as running, lab.popen(words, stdout=subprocess.PIPE) as starting:
        assert starting.stdout
        before = [starting.stdout.readline() for _ in range(10)]
        began = time.monotonic()
        running.kill() if how == "killed" else os.kill(running.process.command_pid(), signal.SIGSTOP)
        ways = dict(routers("".join([*before, starting.stdout.read()])))
        seconds = time.monotonic() - began
        if how == "stopped":
            _go_on(running)
        assert starting.wait(10) == 0
        assert seconds < FACTOR, ways
        print(f"{seconds:.2f} s after the daemon was {how}; ways out: {ways} of {_AT_ONCE}")
        if when_down == "deny":
            assert list(ways) == ["wan1"]
            assert 10 <= ways["wan1"] < _AT_ONCE
        else:
            assert sum(ways.values()) == _AT_ONCE
            assert ways["wan2"]


def _go_on(running: Daemon) -> None:
    for pid in (running.process.command_pid(), running.process.pid):  # nsenter(1) stops with its child
        os.kill(pid, signal.SIGCONT)


@promise("RULE-42")
def test_another_holder_takes_over_from_one_that_was_killed(lab: Lab) -> None:
    write(lab, RULE)
    with daemon(lab) as running:
        lab.run(["kill", "-9", *_holders(lab)], check=True)
        until(lambda: "starts are held again" in running.log())
        assert starts(lab, 4, 3) == {"wan1": 3}


@promise("RULE-42", "HOLD-08")
@both_families
def test_a_holder_of_another_release_is_replaced(lab: Lab, family: int) -> None:
    """It has outlived the daemon that was upgraded, and what it says is not understood."""
    write(lab, RULE)
    older = (
        "import sys; from procroute.holder import words; words.VERSION -= 1\n"
        "from procroute.holder.__main__ import main; sys.exit(main())"
    )
    null = subprocess.DEVNULL  # it keeps what it has
    words = [sys.executable, "-S", "-s", "-c", older]
    assert lab.popen(words, env=ENVIRONMENT, stdout=null, stderr=null).wait(20) == 0
    assert len(_holders(lab)) == 1
    with daemon(lab) as running:
        until(lambda: "another version" in running.log())
        until(lambda: starts(lab, family, 1) == {"wan1": 1}, what="a start by the route")
        assert starts(lab, family, 3) == {"wan1": 3}, running.log()
        assert len(_holders(lab)) == 1


@promise("RULE-43")
def test_without_rules_there_is_no_holder(lab: Lab) -> None:
    with daemon(lab):
        assert not _holders(lab)
        write(lab, RULE)
        until(lambda: _holders(lab))
        write(lab, "")
        until(lambda: not _holders(lab), what="the end of the holder")


def _holders(lab: Lab) -> list[str]:
    return lab.run(["pgrep", "-f", "procroute.holder"]).stdout.split()


@promise("RULE-44")
def test_a_route_that_cannot_be_is_no_way_round(lab: Lab) -> None:
    """The adapter is not there: the start is denied, and possible when it has come."""
    write(lab, RULE.replace("wan1", "vpn0"))
    with daemon(lab) as running:
        _, status = timed_start(lab, first(4))
        assert status == 1  # EPERM
        assert "vpn0" in running.log()
        lab.sh("ip link set wan1 down && ip link set wan1 name vpn0 && ip link set vpn0 up")
        lab.sh("ip route add default via 198.51.100.1 dev vpn0 metric 300")
        until(lambda: timed_start(lab, first(4))[1] == 0, what="a start by it")
