"""Whom the keeper names, what it makes of news that were lost, and that it sleeps while there are none."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.commands import Process
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import routed
from tests.netns.keepers import Keeping, keeper
from tests.netns.running import ours, procroute, run, until
from tests.netns.traffic import both_families, delete_our_rules

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def kept() -> Iterator[tuple[Lab, Keeping]]:
    """A routed command whose engine is stopped; strict reverse path checks give us an nft table."""
    with Lab(main="both", rp_filter=1) as lab, routed(lab) as command:
        command.freeze()
        with keeper(lab) as keeping:
            yield lab, keeping


@pytest.fixture
def scene(kept: tuple[Lab, Keeping]) -> Iterator[tuple[Lab, Keeping]]:
    """All is as it should be, before and after."""
    lab, keeping = kept
    before = ours(lab)
    keeping.forget()
    yield lab, keeping
    until(lambda: ours(lab) == before, 2)


@contextlib.contextmanager
def living(lab: Lab, *command: str) -> Iterator[tuple[Process, str]]:
    """A program that reads what it is to do and lives on; and its pid, as the machine counts."""
    process = lab.popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    status = Path(f"/proc/{process.command_pid()}/status")
    until(lambda: f"Name:\t{command[0]}\n" in status.read_text(), what=command[0])
    assert process.stdin
    try:
        yield process, re.findall(r"^NSpid:.*\t(\d+)$", status.read_text(), re.MULTILINE)[0]
    finally:
        process.stdin.close()
        process.wait(10)


def tell(process: Process, line: str) -> None:
    """Have it do something."""
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


@promise("TRUE-03")
@pytest.mark.parametrize("what", ["1 ip rule", "1 entry of our tables"])
@both_families
def test_a_living_program_is_named(scene: tuple[Lab, Keeping], family: int, what: str) -> None:
    lab, keeping = scene
    line = "rule del protocol 112" if "rule" in what else "route del default table 7301"
    with living(lab, "ip", f"-{family}", "-batch", "-") as (process, pid):
        tell(process, line)
        repaired = keeping.repair()
    assert (repaired.what, repaired.who) == ([what], f"ip (pid {pid})")
    assert any(f"{what}; changed by ip (pid {pid})" in said for said in keeping.said)


@promise("TRUE-03")
def test_who_flushes_the_ruleset_is_named(scene: tuple[Lab, Keeping]) -> None:
    lab, keeping = scene
    with living(lab, "nft", "-i") as (process, pid):
        tell(process, "flush ruleset")
        repaired = keeping.repair()
    assert (repaired.what, repaired.who) == (["the nft table"], f"nft (pid {pid})")


@promise("TRUE-03")
@both_families
def test_one_that_has_ended_is_told_by_its_pid(scene: tuple[Lab, Keeping], family: int) -> None:
    lab, keeping = scene
    lab.ip(f"-{family} rule del protocol 112")
    assert re.fullmatch(r"((probably )?ip|a process that has ended) \(pid \d+\)", keeping.repair().who)


def is_told(keeping: Keeping, first: int, expected: set[str]) -> bool:
    """Whether just that was repaired after so many repairs."""
    return {what for repaired in keeping.repairs[first:] for what in repaired.what} == expected


@promise("TRUE-03")
@both_families
@pytest.mark.parametrize("pause", ["0", "0.006", "0.012", "0.02"])
def test_of_two_things_at_once_both_are_told(scene: tuple[Lab, Keeping], family: int, pause: str) -> None:
    """Also where the second is broken while the first is mended."""
    lab, keeping = scene
    for _ in range(5):
        first = len(keeping.repairs)
        lab.sh(f"nft flush ruleset; sleep {pause}; ip -{family} rule del protocol 112")
        until(partial(is_told, keeping, first, {"the nft table", "1 ip rule"}))


@promise("TRUE-03")
@both_families
def test_what_was_put_in_between_is_taken_away(scene: tuple[Lab, Keeping], family: int) -> None:
    lab, keeping = scene
    with living(lab, "ip", f"-{family}", "-batch", "-") as (process, pid):
        tell(process, "rule add preference 4450 table main protocol 112")
        repaired = keeping.repair()
    assert (repaired.what, repaired.who) == (["1 ip rule too many"], f"ip (pid {pid})")


@promise("TRUE-03")
def test_the_kernel_is_nobody() -> None:
    """What goes with an adapter is its doing, even when that is back before anybody has looked."""
    with Lab(main="both") as lab, routed(lab) as command, keeper(lab) as keeping:
        command.freeze()
        for _ in range(10):
            lab.batch("link set wan1 down\nlink set wan1 up\n")
            lab.wan1.restore()
            time.sleep(0.1)
        assert {repaired.who for repaired in keeping.repairs} <= {"the kernel"}, keeping.repairs
        delete_our_rules(lab)
        until(lambda: any("pid" in repaired.who for repaired in keeping.repairs))


@promise("TRUE-03")
def test_an_adapter_that_is_deleted_and_made_anew_is_nobodys_deed() -> None:
    """Even while the route is just being brought to follow it."""
    made = (
        "ip link add vpn7 type veth peer name peer7; ip link set peer7 up; ip addr add 10.77.0.2/24 dev vpn7;"
        "ip addr add fd77::2/64 dev vpn7 nodad; ip link set vpn7 up"
    )
    with Lab(main="both") as lab:
        lab.sh(made)
        options = ("--gateway4", "10.77.0.1", "--gateway6", "fd77::1", "--dns", "system")
        with routed(lab, *options, via="vpn7") as command, keeper(lab) as keeping:
            command.freeze()
            for pause in (0, 0.01, 0.03, 0.1, 0.2, 0.3) * 8:
                lab.sh("ip link del vpn7")
                time.sleep(pause)
                lab.sh(made)
                time.sleep(pause)
            assert {repaired.who for repaired in keeping.repairs} <= {"the kernel"}, keeping.repairs


@promise("TRUE-03")
def test_what_follows_the_machine_is_no_repair(scene: tuple[Lab, Keeping]) -> None:
    lab, keeping = scene
    for gateway in ("198.51.100.9", "198.51.100.1"):
        lab.ip(f"route replace default via {gateway} dev wan1 metric 200")
        until(lambda to=gateway: f"via {to} " in lab.ip("route show default table 7301"))  # type: ignore[misc]
    with pytest.raises(AssertionError, match="no repair"):
        keeping.repair(0.3)


@promise("TRUE-03")
def test_what_procroute_does_is_no_repair(scene: tuple[Lab, Keeping]) -> None:
    lab, keeping = scene
    for _ in range(3):
        assert run(lab, "wan2", "true", options=("--strict",)).returncode == 0
    assert procroute(lab, "status").returncode == 0
    with pytest.raises(AssertionError, match="no repair"):
        keeping.repair(0.3)


# --- lost news


FLOOD = "".join(
    f"route {word} 20.{n // 250}.{n % 250}.0/24 via 192.168.50.1 dev lan0\n"
    for word in ("add", "del")
    for n in range(2500)
)


def lost(lab: Lab) -> int:
    """How many messages the kernel had to drop for listeners in the machine (proc(5), /proc/net/netlink)."""
    return sum(int(line.split()[8]) for line in lab.sh("cat /proc/net/netlink").splitlines()[1:])


def break_it(lab: Lab) -> None:
    """What is ours and is told of by netlink."""
    delete_our_rules(lab)
    lab.sh("nft flush ruleset; ip route flush table 7301; ip -6 route flush table 7301")


@promise("TRUE-04")
def test_news_that_were_lost_while_it_slept_are_made_up_for(scene: tuple[Lab, Keeping]) -> None:
    lab, keeping = scene
    before = ours(lab)
    keeping.freeze()
    already = lost(lab)
    lab.batch(FLOOD)
    break_it(lab)
    assert lost(lab) > already
    assert ours(lab) != before
    keeping.thaw()
    took = until(lambda: ours(lab) == before, what="what was there before")
    print(f"{lost(lab) - already} messages lost, {took:.2f} s")


@promise("TRUE-04")
@pytest.mark.parametrize("times", range(3))
def test_news_that_its_buffer_cannot_hold_are_made_up_for(times: int) -> None:
    with Lab(main="both", rp_filter=1) as lab, routed(lab) as command:
        command.freeze()
        before = ours(lab)
        with keeper(lab, "1") as keeping:
            already = lost(lab)
            flood = FLOOD.splitlines(keepends=True)
            lab.batch("".join(flood[:2500]))
            break_it(lab)
            lab.batch("".join(flood[2500:]))
            assert lost(lab) > already
            took = until(lambda: ours(lab) == before, what="what was there before")
            print(f"{lost(lab) - already} messages lost, {took:.2f} s")
            until(lambda: keeping.said, what="a line about it")


# --- sleep


@promise("TRUE-05")
def test_it_sleeps_while_nothing_happens(scene: tuple[Lab, Keeping]) -> None:
    lab, keeping = scene

    def woken() -> int:
        return int(keeping.status("voluntary_ctxt_switches"))

    def sleeps(seconds: float) -> bool:
        count = woken()
        time.sleep(seconds)
        return woken() == count

    lab.settle()
    until(lambda: sleeps(0.5), what="its sleep")
    assert sleeps(5)
    count = woken()
    keeping.ask("nudge")
    until(lambda: woken() > count, 1 * FACTOR)
    assert os.path.exists(f"/proc/{keeping.pid}")
