"""The daemon with news of the kernel's process connector, and nothing else to find processes by."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from procroute.lab import Lab
from tests.netns.daemons import Daemon, daemon
from tests.netns.holding import PLACE, busy, first, late, programs, routers
from tests.netns.inhabitants import PROBE, commanded
from tests.netns.relay import Relay
from tests.netns.ruled import placed_by, rule, write
from tests.netns.running import until
from tests.netns.traffic import astray, both_families

promise = pytest.mark.promise
_MARKED = [sys.executable, "-X", "marker=a", *PROBE[1:]]
_MANY = 100


class Hearing(NamedTuple):
    """A daemon, and what it hears."""

    running: Daemon
    relay: Relay


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hearing]:
    """On a machine that prefers wan2."""
    folder = tmp_path_factory.mktemp("relay")
    with Lab(main="both", keep=[folder]) as lab, Relay(lab, folder) as relay:
        programs(lab)
        write(lab, rule('command = "*marker=a *"') + rule('name = "first?"') + rule('name = "late?"'))
        with daemon(lab, *relay.words) as running:
            assert "does not tell who is put into another cgroup" in running.log()
            yield Hearing(running, relay)


@promise("RULE-35")
@both_families
def test_a_daemon_finds_by_it_who_comes(hearing: Hearing, family: int) -> None:
    lab, running = hearing.running.lab, hearing.running
    with commanded(lab, _MARKED) as command:
        until(lambda: len(placed_by(running)) == 1)
        assert not astray(lab, command, "tcp", family, lab.wan1)


@promise("RULE-35")
@both_families
def test_where_some_was_lost_it_looks_at_everybody(hearing: Hearing, family: int) -> None:
    lab, running = hearing.running.lab, hearing.running
    hearing.relay.lose = True
    try:
        with commanded(lab, _MARKED) as command:
            until(lambda: len(placed_by(running)) == 1)
            assert not astray(lab, command, "tcp", family, lab.wan1)
    finally:
        hearing.relay.lose = False


@promise("NEG-14")
@both_families
def test_without_news_it_finds_nobody(hearing: Hearing, family: int) -> None:
    lab, running = hearing.running.lab, hearing.running
    hearing.relay.mute = True
    try:
        with commanded(lab, _MARKED) as command:
            assert astray(lab, command, "tcp", family, lab.wan1)
            assert not placed_by(running)
    finally:
        hearing.relay.mute = False


@promise("RULE-35")
@both_families
def test_how_many_first_packets_it_misses(hearing: Hearing, family: int) -> None:
    """Programs that connect at once go the other way, most of them; those that wait a second do not."""
    lab = hearing.running.lab
    with busy(lab):
        quick = _ways(lab, first(family), _MANY, at_once=4)
    assert _ways(lab, late(family), 8, at_once=8) == {"wan1": 8}
    assert sum(quick.values()) == _MANY
    print(f"of {_MANY} that connect at once by IPv{family}, under load: {quick}")


def _ways(lab: Lab, program: str, count: int, at_once: int) -> dict[str, int]:
    words = [f"{PLACE}/starts", "many", str(count), str(at_once), program]
    return dict(routers(lab.run(words, timeout=60, check=True).stdout))
