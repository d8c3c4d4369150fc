"""Calls of the daemon fail, or kill it, as tunnels take, change and leave routes, and as a route switches."""

from __future__ import annotations

import sys
from typing import Any, Final

import pytest

from procroute.lab import UDP, Lab, Packet
from procroute.lab.topology import machine_side
from tests.netns.inhabitants import bystander
from tests.netns.moving import pid_of
from tests.netns.sweeping import patient, sweep
from tests.netns.traffic import FAMILIES, SERVER, elsewhere
from tests.netns.tunnelling import DEVICE, client, outer
from tests.netns.uplinks import three

PROGRAM: Final = "tests.netns.faulty_ways"
PORT: Final = 51820
MAIN: Final = "wan2"
"""By which everything leaves that no route takes."""
SWEEPS: Final = [("", "wan1"), ("wan1", "vpn0"), ("wan1", "")]
begins_changes_ends = pytest.mark.parametrize(("before", "after"), SWEEPS, ids=["begins", "changes", "ends"])
faulty = pytest.mark.promise("FAULT-01", "FAULT-02", "FAULT-03", "FAULT-04")
LINES: Final = '[route.lines]\nadapters = ["wan1", "vpn0"]\nhold = 0.2\n'


def over(device: str, way: str) -> str:
    """The configuration of a tunnel; nothing where it takes no route."""
    return f'[adapter.{device}]\nover = "{way}"\n' if way else ""


def check(found: dict[str, Any]) -> None:
    """What a daemon said and became that met its fate."""
    assert "Traceback" not in found["said"], found
    if found["fate"].endswith(("before", "after")) and found["call"]:
        assert not found["alive"], found
        return
    assert found["alive"], found
    if found["error"]:
        assert found["error"][0] != "internal", found


def agrees(found: dict[str, Any], ways: set[str], before: str, after: str) -> None:
    """Outer packets left by what the configuration means now; where it is said that it could not be done, or
    nobody can say it any more, by that of before or not at all."""
    wanted = {after or MAIN}
    if found["error"] or found["notes"] or not found["alive"]:
        assert ways <= wanted | {before or MAIN}, (ways, found)
    else:
        assert ways == wanted, (ways, found)


@patient
@faulty
@begins_changes_ends
def test_a_tunnels_process_is_put_on_its_route_or_that_is_said(before: str, after: str) -> None:
    """A tun device; main prefers another uplink than all routes."""
    family = 6 if before else 4
    with three() as lab, client(lab, family), bystander(lab) as other:
        given = {"deed": "reload", "before": over(DEVICE, before), "after": over(DEVICE, after)}
        for found in sweep(lab, PROGRAM, 12, **given, part=0, parts=1):
            check(found)
            lab.clear()
            lab.run(["ping", "-c1", "-W0.1", "-I", DEVICE, "10.77.0.1"])
            agrees(found, set(outer(lab)), before, after)
            assert other.ask("udp", to=SERVER[family]).router == MAIN


_SEND: Final = """
import socket, sys
for family, to in ((socket.AF_INET, sys.argv[2]), (socket.AF_INET6, sys.argv[3])):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(("", int(sys.argv[1])))
        try:
            sock.sendto(b"outer", (to, 7000))
        except OSError:
            pass
"""


def sent(lab: Lab, port: int) -> set[str]:
    """By which uplinks datagrams of both families leave that are sent from this port."""
    lab.clear()
    lab.run([sys.executable, "-S", "-c", _SEND, str(port), SERVER[4], SERVER[6]], check=True)
    lab.settle()

    def is_it(packet: Packet) -> bool:
        return packet.protocol == UDP and packet.source_port == port

    return {name for name, uplink in lab.uplinks.items() if uplink.packets(where=is_it)}


@patient
@faulty
@begins_changes_ends
def test_a_tunnel_of_the_kernels_takes_its_route_or_that_is_said(before: str, after: str) -> None:
    """lan0 stands for a WireGuard device (stand_in.py), and a socket on its port for its packets."""
    with three(rp_filter=1) as lab, bystander(lab) as other:
        given = {"deed": "reload", "before": over("lan0", before), "after": over("lan0", after)}
        for turn, found in enumerate(
            sweep(lab, PROGRAM, 12, **given, stand_in="lan0", port=PORT, part=0, parts=1)
        ):
            check(found)
            agrees(found, sent(lab, PORT), before, after)
            assert sent(lab, PORT + 1) == {MAIN}
            assert other.ask("udp", to=SERVER[FAMILIES[turn % 2]]).router == MAIN


DOWN: Final = "ip link set wan1 down"


def again(lab: Lab) -> str:
    """A script after which wan1 is as before."""
    return f"ip -batch - <<EOF\n{machine_side(lab.wan1.wire)}{lab.wan1._routes}EOF"


@patient
@faulty
@pytest.mark.parametrize("goes", ["away", "back"])
def test_a_switch_is_done_in_the_end_and_nothing_leaves_by_main(goes: str) -> None:
    """A route whose adapter ends, or is there again; over it goes a tunnel of the kernel's."""
    with three() as lab, bystander(lab) as who, bystander(lab) as other:
        scripts, ways = (DOWN, again(lab)), ("wan1", "vpn0")
        if goes == "back":
            scripts, ways = (scripts[1], scripts[0]), ("vpn0", "wan1")
            lab.sh(DOWN)
        happens, undone = scripts
        text = LINES + over("lan0", "lines")
        given = {"deed": "news", "route": "lines", "before": text, "ways": ways, "pid": pid_of(who)}
        tunnel = {"stand_in": "lan0", "port": PORT}
        for turn, found in enumerate(
            sweep(lab, PROGRAM, 10, **given, **tunnel, happens=happens, undone=undone, part=0, parts=1)
        ):
            check(found)
            lab.clear()
            for family in FAMILIES:
                assert who.ask("udp", to=SERVER[family], seconds=0.2).router in {"", "wan1", "vpn"}, found
            assert not elsewhere(lab, "wan1", "vpn0"), found
            assert sent(lab, PORT) <= {"wan1", "vpn0"}, found
            assert other.ask("udp", to=SERVER[FAMILIES[turn % 2]]).router == MAIN
