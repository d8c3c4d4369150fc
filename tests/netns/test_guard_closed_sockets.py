"""What the kernel sends for connections that are closed, with our rules and without: no program, no guard."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procroute.lab import TCP, Lab, Packet
from procroute.lab.packet import RST
from tests.netns.inhabitants import Command, routed
from tests.netns.running import until
from tests.netns.traffic import SERVER, both_families, delete_our_rules, gateway, own_address

promise = pytest.mark.promise
LATE = str(Path(__file__).with_name("late.py"))
PORT = 7100
HEADERS = {4: 40, 6: 60}
"""The length of a reset: IP and TCP headers, nothing else."""


@contextmanager
def closed_connection(family: int) -> Iterator[tuple[Command, subprocess.Popen[str]]]:
    """A command that has closed its connection, and the peer, which has not."""
    with Lab(main="both") as lab, routed(lab) as command:
        # its neighbour is known, so that what goes astray is not held up
        lab.sh(f"ping -{family} -n -q -c 1 -W 2 -I wan2 {gateway(lab.wan2, family)}")
        pipe = subprocess.PIPE
        peer = lab.wan1.popen(
            [sys.executable, "-S", LATE, "tcp", SERVER[family], str(PORT)], stdin=pipe, stdout=pipe
        )
        with peer:
            assert peer.stdin
            assert peer.stdout
            assert peer.stdout.readline() == "up\n"
            command.ask("tcp", to=SERVER[family], port=PORT, keep="it", seconds=0.05)
            command.ask("drop", name="it")
            until(lambda: "FIN-WAIT-2" in lab.sh("ss -Htan"), what="the close")
            yield command, peer
            peer.kill()


def resets(lab: Lab, peer: subprocess.Popen[str]) -> dict[str, list[Packet]]:
    """What came out, by adapter, when the peer spoke."""
    lab.clear()
    assert peer.stdin
    peer.stdin.write("speak\n")
    peer.stdin.flush()

    def out() -> dict[str, list[Packet]]:
        lab.settle()
        return {name: packets for name, uplink in lab.uplinks.items() if (packets := uplink.packets())}

    until(out, what="a reset")
    return out()


@promise("PATH-01", "LEAK-01")
@both_families
def test_with_our_rules_it_leaves_by_the_adapter(family: int) -> None:
    with closed_connection(family) as (command, peer):
        assert set(resets(command.lab, peer)) == {"wan1"}


@promise("DOWN-07")
@both_families
def test_without_our_rules_bare_resets_follow_main(family: int) -> None:
    """The limit that the README names: it shows when it is mended, and when it grows."""
    with closed_connection(family) as (command, peer):
        lab = command.lab
        command.freeze()
        delete_our_rules(lab)
        out = resets(lab, peer)
        assert set(out) == {"wan2"}
        for packet in out["wan2"]:
            assert packet.source == own_address(lab.wan1, family)
            assert (packet.protocol, packet.length) == (TCP, HEADERS[family])
            assert packet.tcp_flags & RST
