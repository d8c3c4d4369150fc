"""Whoever does not answer, nobody waits for a second; what becomes of execs then is what their rules say."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.holding import (
    PLACE,
    Daemon,
    busy,
    ends,
    first,
    holding,
    place_with_route,
    rule,
    timed_start,
)
from tests.netns.running import ENVIRONMENT, until

promise = pytest.mark.promise
EPERM = 1
_MANY = 300
_LOG = f"{PLACE}/log"
outcomes = pytest.mark.parametrize(("when_down", "errno"), [("deny", EPERM), ("allow", 0)])


@pytest.fixture(scope="module")
def routed_place() -> Iterator[tuple[Lab, str]]:
    """See place_with_route."""
    with place_with_route() as made:
        yield made


def begin(lab: Lab) -> subprocess.Popen[str]:
    """A program whose exec is held."""
    return lab.popen([f"{PLACE}/starts", "timed", "1", "0", first(4)], stdout=subprocess.PIPE)


def outcome(process: subprocess.Popen[str]) -> tuple[float, int]:
    """The seconds until it ended, and the errno of its exec."""
    words = process.communicate(timeout=10)[0].split()
    return float(words[-2]) / 1e6, int(words[-1])


def when_held(daemon: Daemon, count: int = 1) -> None:
    """Wait until so many execs are held."""
    until(lambda: len(daemon.heard("Exec")) >= count)


@promise("HOLD-06")
@outcomes
@pytest.mark.parametrize("how", ["stopped", "dead", "mute"])
def test_without_an_answer(routed_place: tuple[Lab, str], how: str, when_down: str, errno: int) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), when_down=when_down))
        if how == "mute":
            daemon.does("nothing")
        else:
            daemon.stop() if how == "stopped" else daemon.kill()
        times = []
        for _ in range(3):
            seconds, got = timed_start(lab, first(4))
            assert got == errno
            assert seconds <= FACTOR
            times.append(seconds)
        if how != "mute":  # that one says that it is there
            assert times[-1] < 0.5 * FACTOR, "it is known by now that nobody answers"
        logged = f"{first(4)} was {'denied' if errno else 'allowed'} (k): "
        until(lambda: daemon.errors().count(logged) == 3, what=daemon.errors())


@promise("HOLD-06")
@outcomes
@pytest.mark.parametrize("how", ["stopped", "dead"])
def test_while_it_is_held(routed_place: tuple[Lab, str], how: str, when_down: str, errno: int) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), when_down=when_down))
        daemon.does("nothing")
        held = begin(lab)
        when_held(daemon)
        daemon.stop() if how == "stopped" else daemon.kill()
        seconds, got = outcome(held)
        assert got == errno
        assert seconds <= FACTOR


@promise("HOLD-06", "HOLD-03")
@pytest.mark.parametrize("how", ["stopped", "dead", "mute"])
def test_of_many_that_are_denied_none_starts(routed_place: tuple[Lab, str], how: str) -> None:
    """The holder must live to answer all of them: what it lets go of starts."""
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon, busy(lab):
        daemon.hold(rule(first(4)))
        holder = daemon.holder()
        daemon.does("nothing")
        words = [f"{PLACE}/starts", "many", str(_MANY), str(_MANY), first(4)]
        starting = lab.popen(words, stdout=subprocess.PIPE)
        if how != "mute":
            when_held(daemon, _MANY // 10)
            daemon.stop() if how == "stopped" else daemon.kill()
        out, _ = starting.communicate(timeout=30)
        assert out == "", f"{len(out.splitlines())} started: {daemon.summary()}"
        assert os.path.exists(f"/proc/{holder}"), daemon.summary()
        assert timed_start(lab, first(4))[1] == EPERM


@promise("HOLD-07")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_holder_that_fails_lets_go(routed_place: tuple[Lab, str], how: signal.Signals) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        daemon.does("nothing")
        held = begin(lab)
        when_held(daemon)
        holder = daemon.holder()
        os.kill(holder, how)
        seconds, got = outcome(held)
        assert (got, seconds <= FACTOR) == (0, True), seconds
        ends(holder, 1)
        daemon.await_gone()
        daemon.does("deny")
        assert timed_start(lab, first(4))[1] == 0  # nothing is held
        daemon.hold(rule(first(4)))  # by another holder
        assert daemon.holder() != holder
        assert timed_start(lab, first(4))[1] == EPERM


@promise("HOLD-07")
def test_a_stopped_holder_without_a_daemon_lets_go(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        holder = daemon.holder()
        daemon.kill()
        assert timed_start(lab, first(4))[1] == EPERM
        os.kill(holder, signal.SIGSTOP)
        seconds, got = timed_start(lab, first(4))
        assert (got, seconds <= FACTOR) == (0, True), seconds
        ends(holder, 1)


@promise("HOLD-08")
def test_the_next_daemon_is_told_and_goes_on_with_the_same_holder(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), key="mine"))
        holder = daemon.holder()
        daemon.kill()
        assert timed_start(lab, first(4))[1] == EPERM
        with holding(lab, cgroup) as again:
            assert again.holder() == holder
            assert again.heard("Hello")[0]["rules"] == 1
            told = again.await_said("Decided")
            assert (told["keys"], told["path"], told["allow"], told["why"]) == (
                ["mine"],
                first(4),
                False,
                "no-daemon",
            )
            assert timed_start(lab, first(4))[1] == 0  # placed, by the rules of before
            again.hold()
            assert timed_start(lab, first(4))[1] == 0
            assert len(again.heard("Exec")) == 1


@promise("HOLD-08")
def test_a_daemon_that_goes_on_is_asked_again(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        daemon.stop()
        assert timed_start(lab, first(4))[1] == EPERM
        daemon.go_on()
        daemon.await_said("Decided", why="late")
        until(lambda: timed_start(lab, first(4))[1] == 0)


@promise("HOLD-05")
def test_a_rule_by_the_daemons_own_program_does_not_keep_it_from_starting(
    routed_place: tuple[Lab, str],
) -> None:
    lab, cgroup = routed_place
    python = f"{PLACE}/python"
    shutil.copy(Path(sys.executable).resolve(), lab.path(python))
    base = {"PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"}
    words = ["sh", "-c", f"exec {python} -S -s -m procroute.holder 2>{_LOG}"]
    lab.run(words, env=ENVIRONMENT | base, check=True)
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(python))
        daemon.kill()
        assert lab.run([python, "-S", "-c", ""], env=base).returncode == 0
        user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
        assert "not permitted" in lab.run([*user, python, "-S", "-c", ""], env=base).stderr
        until(lambda: "was allowed (k): it is the daemon's own program" in lab.path(_LOG).read_text())


@promise("HOLD-09")
def test_with_nothing_to_hold_and_no_daemon_it_ends(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        daemon.hold()
        holder = daemon.holder()
        daemon.kill()
        ends(holder, 2)
        assert lab.sh("ls /run/procroute | grep hold || true") == ""


@promise("HOLD-09")
def test_an_idle_holder_uses_little(routed_place: tuple[Lab, str]) -> None:
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        holder = daemon.holder()

        def ticks() -> int:
            with open(f"/proc/{holder}/stat") as stat:
                return sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))

        before = ticks()
        time.sleep(3)
        assert ticks() - before <= 3, "hundredths of a second in three"
        with open(f"/proc/{holder}/status") as status:
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in status if line.startswith("Rss")}
        assert sizes["RssAnon"] < 12_000, sizes


@promise("HOLD-15")
@outcomes
def test_a_daemon_that_is_at_it(routed_place: tuple[Lab, str], when_down: str, errno: int) -> None:
    """As it says, and no longer than for five seconds, whatever it says."""
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4), when_down=when_down))
        daemon.tell(do="nothing")
        held = begin(lab)
        when_held(daemon)
        event = daemon.heard("Exec")[-1]["event"]
        end = time.monotonic() + 8 * FACTOR
        while held.poll() is None and time.monotonic() < end:
            daemon.tell(busy=[event])
            time.sleep(0.25)
        seconds, got = outcome(held)
        assert (got, daemon.heard("Decided")[-1]["why"]) == (errno, "late")
        assert 4.5 < seconds < 6 * FACTOR
        answered = begin(lab)
        when_held(daemon, 2)
        event = daemon.heard("Exec")[-1]["event"]
        for _ in range(6):
            daemon.tell(busy=[event])
            time.sleep(0.25)
        daemon.tell(allow=event)
        seconds, got = outcome(answered)
        assert got == 0
        assert seconds > 1.5, "the daemon has let it go on"


_LAST_WORD = """
import os, signal, sys
from procroute.holder import link
holder = int(sys.argv[1])
os.kill(holder, signal.SIGSTOP)
found = link.connected()
found.hold(())
found.close()
os.kill(holder, signal.SIGCONT)
"""


@promise("HOLD-09")
def test_the_last_word_of_who_has_hung_up_is_heard(routed_place: tuple[Lab, str]) -> None:
    """What the holder has to tell by then, it can tell nobody."""
    lab, cgroup = routed_place
    with holding(lab, cgroup) as daemon:
        daemon.hold(rule(first(4)))
        (holder,) = lab.run(["pgrep", "-fo", "procroute.holder"]).stdout.split()
        daemon.kill()
        assert timed_start(lab, first(4))[1] == EPERM
        lab.run([sys.executable, "-c", _LAST_WORD, holder], env=ENVIRONMENT, check=True)
        until(lambda: not lab.path("/run/procroute/hold.lock").exists(), what="its end, in order")
        assert timed_start(lab, first(4))[1] == 0
