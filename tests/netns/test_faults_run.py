"""Each call of a run fails, or the engine is killed at it: as before, or as wanted, or closed and said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from procroute.lab import Lab
from tests.netns.crowd import crowd, hang_up, kill_engine
from tests.netns.faults import RAN
from tests.netns.inhabitants import Command, Inhabitant, bystander
from tests.netns.running import procroute, unchanged, until
from tests.netns.sweeping import SEND, is_sent, patient, sweep
from tests.netns.traffic import FAMILIES, SERVER

PARTS: Final = 2
FAILED, KILLED = 125, -9
_NEXT = ["run", "--via", "wan1", "--", "true"]


def check(found: dict[str, Any]) -> None:
    """What a run left behind and said, which met its fate."""
    assert "Traceback" not in found["said"], found
    if found["status"] == KILLED:
        assert found["fate"].endswith(("before", "after")), found
        return
    assert found["status"] in (RAN, FAILED), found
    if found["status"] == FAILED:
        assert found["said"].startswith("procroute: "), found
    if found["left"]:
        assert "procroute cleanup" in found["said"], found


def swept(
    lab: Lab, most: int, options: Sequence[str], restores: Sequence[Sequence[str]], **given: Any
) -> None:
    """Sweep, and see where packets went: of commands that ran by the route's adapter, of others nowhere."""
    via = options[1]
    (other,) = {"wan1", "wan2"} - {via}
    lab.clear()
    ran: set[int] = set()
    failed: set[int] = set()
    for found in sweep(
        lab, "tests.netns.faulty_run", most, options=options, restores=restores, command=SEND, **given
    ):
        check(found)
        ran |= {found["port"]} if found["status"] == RAN else set()
        failed |= {found["port"]} if found["status"] == FAILED else set()
    lab.settle()
    by_port = {(packet.family, packet.destination_port) for packet in lab.uplinks[via].packets(where=is_sent)}
    assert {(family, port) for family in FAMILIES for port in ran} <= by_port
    assert not {port for _, port in by_port} & failed
    assert not lab.uplinks[other].packets(where=is_sent)
    assert ran or given["who"] == "child"  # whose steps are all needed
    assert ran or failed  # of few fates all may be the end of it


@patient
@pytest.mark.promise("FAULT-01", "FAULT-02", "FAULT-03")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_happens_or_is_undone(part: int) -> None:
    """rp_filter 1, so that the nft table and the sysctl take part; a machine without /etc/iproute2."""
    with Lab(rp_filter=1) as lab:
        lab.sh("rm -rf /etc/iproute2")
        with unchanged(lab):
            restores = [["cleanup"], _NEXT, ["run", "--via", "wan2", "--strict", "--", "true"]]
            swept(lab, 12, ["--via", "wan1"], restores, who="engine", part=part, parts=PARTS)


@patient
@pytest.mark.promise("FAULT-01")
def test_a_command_whose_own_steps_fail_is_not_started() -> None:
    with Lab(rp_filter=1) as lab, unchanged(lab):
        swept(lab, 8, ["--via", "wan1"], [["cleanup"], _NEXT], who="child", part=0, parts=1)


@patient
@pytest.mark.promise("FAULT-01", "FAULT-03", "FAULT-04")
def test_others_go_on_undisturbed() -> None:
    """A bystander, and a command whose own engine is gone, while runs by another adapter fail."""
    with Lab(rp_filter=1) as lab, unchanged(lab):
        with crowd(lab, [("wan1",)]) as (command,), bystander(lab) as other:
            kill_engine(command.process)
            options = ["--via", "wan2", "--strict"]
            lab.clear()
            for turn, found in enumerate(
                sweep(
                    lab,
                    "tests.netns.faulty_run",
                    10,
                    options=options,
                    restores=[_NEXT],
                    command=SEND,
                    who="engine",
                    part=0,
                    parts=1,
                )
            ):
                check(found)
                _go_on(command, other, FAMILIES[turn % 2])
            lab.settle()
            assert not lab.wan1.packets(where=is_sent)
            hang_up(command.process)
        until(lambda: procroute(lab, "cleanup").returncode == 0)


def _go_on(command: Command, other: Inhabitant, family: int) -> None:
    assert command.ask("tcp", to=SERVER[family]).router == "wan1"
    assert other.ask("tcp", to=SERVER[family]).router == "wan2"
