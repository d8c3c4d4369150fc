"""Ways to send, the addresses they are sent to, and what is wrong with where they went."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from procroute.lab import ICMP, ICMP6, Lab, Uplink
from procroute.lab.topology import OTHER_SERVER4, OTHER_SERVER6, SERVER4, SERVER6
from tests.netns.inhabitants import Heard, Inhabitant, without_bpf

FAMILIES: Final = (4, 6)
both_families: Final = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"IPv{family}")
WAYS: Final = ("tcp", "udp", "unconnected", "ping")
SERVER: Final = {4: SERVER4, 6: SERVER6}
OTHER_SERVER: Final = {4: OTHER_SERVER4, 6: OTHER_SERVER6}
TRAVELLER: Final = (sys.executable, str(Path(__file__).with_name("traveller.py")), SERVER4, SERVER6)
"""Words that start a program which says over and over by which routers it leaves."""
NO_WAY: Final = ("ENETUNREACH", "EHOSTUNREACH")
"""How the kernel says at once that there is no way."""


def own_address(uplink: Uplink, family: int) -> str:
    """The machine's address on an uplink."""
    return uplink.wire.address4 if family == 4 else uplink.wire.address6


def gateway(uplink: Uplink, family: int) -> str:
    """The node's address on an uplink."""
    return uplink.wire.gateway4 if family == 4 else uplink.wire.gateway6


def elsewhere(lab: Lab, *allowed: str, of_the_closed: bool = True) -> list[str]:
    """Packets that came out by any adapter but the allowed ones, as text. of_the_closed: with those that the
    kernel may have sent by itself, for sockets that have gone."""
    lab.settle()
    return [
        f"{adapter}: {packet}"
        for adapter, uplink in lab.uplinks.items()
        if adapter not in allowed
        for packet in uplink.packets()
        if of_the_closed or not packet.of_the_closed
    ]


def astray(
    lab: Lab, who: Inhabitant, way: str, family: int, uplink: Uplink, to: str = "", seconds: float = 1
) -> list[str]:
    """Send one thing and say everything that is not as it should be when it leaves by `uplink`.

    It must be answered by the node there, to the adapter's address, and nothing may come out elsewhere.
    """
    lab.clear()
    heard = who.ask(way, to=to or SERVER[family], seconds=seconds)
    source = own_address(uplink, family)
    findings = [f"{way} failed: {heard.error}"] if heard.error else _wrong(heard, way, uplink, source)
    lab.settle()
    protocol = ICMP if family == 4 else ICMP6
    if way == "ping" and not uplink.packets(
        protocol=protocol, source=source, destination=to or SERVER[family]
    ):
        findings.append(f"no echo request from {source} came out by {uplink.adapter}")
    return findings + elsewhere(lab, uplink.adapter)


def assert_nowhere(lab: Lab, who: Inhabitant) -> None:
    """Nothing that it sends leaves, and it is told at once."""
    lab.clear()
    for family in FAMILIES:
        for how in ("tcp", "udp", "unconnected"):
            assert who.ask(how, to=SERVER[family], seconds=0.3).error in NO_WAY
    assert not elsewhere(lab)


def _wrong(heard: Heard, way: str, uplink: Uplink, source: str) -> list[str]:
    if way == "ping":
        return []
    findings = []
    if heard.router != uplink.wire.node:
        findings.append(f"{heard.router} answered, not {uplink.wire.node}")
    if heard.client != source:
        findings.append(f"the server saw {heard.client}, not {source}")
    if way != "unconnected" and not without_bpf() and heard.local != source:
        findings.append(f"getsockname() says {heard.local}, not {source}")
    return findings


def delete_our_rules(lab: Lab) -> None:
    """Delete every ip rule of ours that there is now, in both families."""
    for family in FAMILIES:
        lab.sh(without_our_rules(family))


def without_our_rules(family: int) -> str:
    """Shell: delete the ip rules of ours that there are, each once. Others may be putting them back."""
    return (
        f"ip -{family} rule show protocol 112 | sed 's/^/rule del protocol 112 preference /; s/:.*//' "
        f"| ip -{family} -force -batch - 2>/dev/null || true"
    )


def as_networkd(lab: Lab) -> None:
    """All rules and entries of ours, one by one and on one socket a family, as at its restart."""
    for family in FAMILIES:
        rules = lab.ip(f"-{family} rule show protocol 112").splitlines()
        lines = [f"rule del preference {rule.partition(':')[0]} protocol 112" for rule in rules]
        entries = lab.ip(f"-{family} route show table all protocol 112").splitlines()
        lines += [f"route del {entry}" for entry in entries if entry[0] not in " \t"]
        lab.run(["ip", f"-{family}", "-force", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))
