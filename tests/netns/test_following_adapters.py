"""An adapter changes while a command runs: its name; or it goes and another one of that name comes."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.inhabitants import Command, routed
from tests.netns.running import run, unchanged, until
from tests.netns.steadily import Steady
from tests.netns.stopwatch import ENTRIES, Stopwatch
from tests.netns.traffic import FAMILIES, SERVER, WAYS, astray, elsewhere, gateway

promise = pytest.mark.promise
SOON, TRIES, AT_MOST = 100.0 * FACTOR, 3, 10
KERNEL = tuple(map(int, platform.release().split(".")[:2]))
renaming = pytest.mark.skipif(KERNEL < (6, 2), reason="before Linux 6.2 what is up cannot be renamed")


def answered(command: Command) -> list[str]:
    """Who answers over each family."""
    return [command.ask("tcp", to=SERVER[f], seconds=3).router for f in FAMILIES]


def rename(lab: Lab, *pairs: tuple[str, str]) -> None:
    """As udev or a .link file of networkd does, one after the other."""
    lab.batch("".join(f"link set {old} name {new}\n" for old, new in pairs))


SWAP = (("wan1", "other"), ("wan2", "wan1"), ("other", "wan2"))


@renaming
@promise("FOLLOW-07")
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_a_renamed_adapter_stays_the_commands(rp_filter: Literal[0, 1, 2]) -> None:
    with Lab(main="both", rp_filter=rp_filter) as lab, unchanged(lab), routed(lab) as command:
        lab.clear()
        with Steady(lab, "wan1") as steady:
            rename(lab, ("wan1", "fibre"))
            until(lambda: rp_filter != 1 or '"fibre"' in lab.sh("nft list table inet procroute"), 2)
            assert answered(command) == ["wan1", "wan1"]
            # And what changes is followed under its new name.
            lab.ip("route del default dev fibre")
            lab.ip("address add 198.51.100.66/32 dev fibre")
            until(lambda: "198.51.100.66" in lab.ip("rule show"), 2)
            lab.batch("address del 198.51.100.66/32 dev fibre\nlink set fibre name wan1\n")
            lab.ip(f"route add default via {gateway(lab.wan1, 4)} dev wan1 metric 200")
            heard = steady.end()
        assert not elsewhere(lab, "wan1")
        assert "wan2" not in heard
        assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan1)]


@renaming
@promise("FOLLOW-07")
def test_names_are_swapped() -> None:
    with Lab(main="both") as lab, unchanged(lab), routed(lab) as command:
        lab.clear()
        with Steady(lab, "wan1") as steady:
            rename(lab, *SWAP)
            time.sleep(0.2)
            assert answered(command) == ["wan1", "wan1"]
            refused = run(lab, "wan1", "true")
            assert refused.returncode == 125
            assert "is in use by the adapter that was wan1 before: it is wan2 now" in refused.stderr
            heard = steady.end()
        rename(lab, *SWAP)
        assert not elsewhere(lab, "wan1")
        assert set(heard) == {"wan1"}


@contextmanager
def drawer(lab: Lab) -> Iterator[int]:
    """A network namespace for an adapter that is unplugged: the machine's pid of what lives there."""
    lab.popen(["sh", "-c", "echo $$ > /run/drawer; exec unshare -n sleep 300"])
    until(lambda: lab.sh("cat /run/drawer 2>/dev/null || true").strip(), 5)
    pid = int(lab.sh("cat /run/drawer"))
    until(lambda: lab.sh(f"[ /proc/{pid}/ns/net -ef /proc/1/ns/net ] || echo it").strip(), 5)
    yield pid
    lab.sh(f"kill {pid}; rm /run/drawer")


def index(lab: Lab) -> int:
    """The ifindex of wan1."""
    return int(lab.sh("cat /sys/class/net/wan1/ifindex"))


def unplug(lab: Lab, pid: int) -> None:
    """Wan1 goes."""
    now = index(lab)
    there = f"nsenter -t {pid} -n"  # where its ifindex is taken, so that it comes back with another one
    taken = f"ip link add a{now} index {now} type veth peer name b{now} index {now + 500}"
    lab.sh(f"{there} {taken} && ip link set wan1 netns {pid}")


def plug(lab: Lab, pid: int) -> None:
    """It comes with another ifindex, and is set up again."""
    lab.sh(f"nsenter -t {pid} -n ip link set wan1 netns 1")
    lab.wan1.restore()


@promise("FOLLOW-08")
def test_unplugged_and_plugged_in_again() -> None:
    took: list[float] = []
    with Lab(main="both") as lab, drawer(lab) as pid, routed(lab) as command:
        lab.clear()
        with Steady(lab, "wan1") as steady, Stopwatch(lab) as watch:
            while len(took) < TRIES or (min(took) >= SOON and len(took) < AT_MOST):
                before = index(lab)
                unplug(lab, pid)
                until(lambda: not lab.ip("-6 route show table 7301 default"), 2)
                assert [command.ask("tcp", to=SERVER[f]).error for f in FAMILIES] == ["ENETUNREACH"] * 2
                watch.begin()
                plug(lab, pid)
                assert index(lab) != before

                def back() -> bool:
                    return all("via" in lab.ip(f"-{f} route show table 7301 default") for f in FAMILIES)

                watch.wait(back)
                took.append(watch.milliseconds(ENTRIES, looked=False))
                assert answered(command) == ["wan1", "wan1"]
            heard = steady.end()
        print([round(t, 1) for t in took], "ms")
        assert not elsewhere(lab, "wan1")
        assert "wan2" not in heard
        assert min(took) < SOON, took
        assert not [w for f in FAMILIES for way in WAYS for w in astray(lab, command, way, f, lab.wan1)]


@promise("FOLLOW-07", "FOLLOW-08")
def test_an_engine_that_is_stopped_does_not_take_the_new_one() -> None:
    """So that the tests above would notice."""
    with Lab(main="both") as lab, drawer(lab) as pid, routed(lab) as command:
        command.freeze()
        unplug(lab, pid)
        plug(lab, pid)
        time.sleep(0.3)
        assert answered(command) == ["", ""]
