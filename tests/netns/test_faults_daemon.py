"""Each call of the daemon fails, or kills it: it is as before, as wanted, or closed; the reply says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from procroute.lab import Lab
from tests.netns.inhabitants import Inhabitant, bystander
from tests.netns.moving import pid_of
from tests.netns.sweeping import SEND, is_sent, patient, sweep
from tests.netns.traffic import FAMILIES, SERVER, elsewhere

PROGRAM: Final = "tests.netns.faulty_daemon"
SWEEPS: Final = [("assign", 0, 2), ("assign", 1, 2), ("release", 0, 1), ("start", 0, 1)]


@pytest.fixture
def lab() -> Iterator[Lab]:
    """rp_filter 1, so that the nft table and the sysctl take part."""
    with Lab(rp_filter=1) as lab:
        lab.sh("rm -rf /etc/iproute2")
        yield lab


def is_routed(found: dict[str, Any]) -> bool:
    """Whether the process that is moved is in a cgroup of ours."""
    return "/procroute.slice/" in found["cgroup"]


def check(deed: str, found: dict[str, Any]) -> None:
    """What was answered agrees with what is there."""
    assert "Traceback" not in found["said"], found
    kills = found["fate"].endswith(("before", "after"))
    if kills and found["call"]:
        assert not found["alive"], found
        return
    if not found["alive"]:  # it may not start
        assert deed == "start", found
        assert found["status"] == 125, found
        assert "procroute: " in found["said"], found
    if deed == "start":
        assert is_routed(found), found
        return
    if found["error"]:
        code, message, _ = found["error"]
        assert code != "internal", found
        assert message, found
    wanted = (deed == "assign") != bool(found["error"])
    if is_routed(found) != wanted:
        assert "could not be" in found["error"][1], found


def says_open_sockets_differ(found: dict[str, Any]) -> bool:
    """Whether the reply says that what was open before may be on either way."""
    said = " ".join(found["error"])
    return "could not be undone" in said or ("may be on either way" in said and not is_routed(found))


def ways(who: Inhabitant, found: dict[str, Any]) -> set[str]:
    """By which adapters a process speaks, by new sockets and one that it had before."""
    new = {who.ask("udp", to=SERVER[family]).router for family in FAMILIES}
    if found["alive"] and not says_open_sockets_differ(found):
        new |= {name for name in ("wan1", "wan2") if name in who.ask("again", name="open", to=SERVER[4]).said}
    return new


@patient
@pytest.mark.promise("FAULT-01", "FAULT-02", "FAULT-03", "FAULT-04")
@pytest.mark.parametrize(("deed", "part", "parts"), SWEEPS)
def test_it_is_done_or_undone(lab: Lab, deed: str, part: int, parts: int) -> None:
    """A process is moved, or let go, or the daemon starts beside one."""
    with bystander(lab) as who, bystander(lab) as other:
        who.ask("unconnected", to=SERVER[4], keep="open")
        given = {"deed": deed, "pid": pid_of(who), "part": part, "parts": parts}
        for turn, found in enumerate(sweep(lab, PROGRAM, 10, **given)):
            check(deed, found)
            lab.clear()
            assert ways(who, found) == {"wan1" if is_routed(found) else "wan2"}, found
            allowed = "wan1" if is_routed(found) else "wan2"
            assert not elsewhere(lab, allowed), found
            assert other.ask("tcp", to=SERVER[FAMILIES[turn % 2]]).router == "wan2"


@patient
@pytest.mark.promise("FAULT-01", "FAULT-02", "FAULT-03", "FAULT-04")
def test_a_command_is_placed_or_not_started(lab: Lab) -> None:
    """`run` by the daemon: what is refused is said, and nothing was sent; what ran went by the adapter."""
    with bystander(lab) as who:
        ran: set[int] = set()
        failed: set[int] = set()
        for found in sweep(lab, PROGRAM, 12, deed="run", pid=pid_of(who), part=0, parts=1, command=SEND):
            assert "Traceback" not in found["said"], found
            if found["error"]:
                status, said, _ = found["error"]
                assert status == "125", found
                assert said.startswith("procroute: "), found
            (failed if found["error"] else ran).add(found["port"])
        lab.settle()
        by_wan1 = {(p.family, p.destination_port) for p in lab.wan1.packets(where=is_sent)}
        assert {(family, port) for family in FAMILIES for port in ran} <= by_wan1
        assert not {port for _, port in by_wan1} & failed
        assert not lab.wan2.packets(where=is_sent)
        assert ran
        assert failed


@patient
@pytest.mark.promise("FAULT-01", "FAULT-02", "FAULT-03")
def test_what_has_ended_is_removed_in_the_end(lab: Lab) -> None:
    """Though nobody asks."""
    with bystander(lab) as who:
        for found in sweep(lab, PROGRAM, 10, deed="end", pid=pid_of(who), part=0, parts=1):
            check("assign", found | {"cgroup": "/procroute.slice/"})


@patient
@pytest.mark.promise("FAULT-01", "FAULT-02", "FAULT-04")
def test_a_repair_that_fails_leaves_it_closed(lab: Lab) -> None:
    """Our rules and nft table are gone, and what would put them back is refused, or the daemon dies of it."""
    with bystander(lab) as who, bystander(lab) as other:
        for turn, found in enumerate(sweep(lab, PROGRAM, 8, deed="repair", pid=pid_of(who), part=0, parts=1)):
            assert "Traceback" not in found["said"], found
            assert is_routed(found), found
            lab.clear()
            for family in FAMILIES:
                assert who.ask("udp", to=SERVER[family], seconds=0.2).router in {"", "wan1"}, found
            assert not elsewhere(lab, "wan1"), found
            assert other.ask("udp", to=SERVER[FAMILIES[turn % 2]]).router == "wan2"
