"""A user-space tunnel in a lab's machine: `vpn7`, with a server of it behind each uplink.

with Lab(main="both") as lab, servers(lab), client(lab) as tunnel, routed(lab, via="vpn7") as command:
    assert inside(command, 4) == "wan2"     # main prefers it, so the server that answers is wan2's
    assert outer(lab) == {"wan2"}
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from procroute.lab import UDP, Lab, Packet, Uplink
from procroute.lab.commands import Process
from tests.netns.inhabitants import Inhabitant
from tests.netns.running import until
from tests.netns.traffic import SERVER, gateway

DEVICE: Final = "vpn7"
PORT: Final = 1194
ENDPOINT: Final = {4: "192.0.2.77", 6: "2001:db8:ffff::77"}
"""The servers' outer address, by the outer family: of each uplink's server the same."""
OWN: Final = {4: "10.77.0.2", 6: "fd77::2"}
"""The machine's addresses within the tunnel."""
END: Final = [sys.executable, "-S", str(Path(__file__).with_name("tunnel_end.py"))]
_MACHINE: Final = f"""link set {DEVICE} up
address add {OWN[4]} peer 10.77.0.1 dev {DEVICE}
address add {OWN[6]} peer fd77::1 dev {DEVICE} nodad
"""
_SERVER: Final = """link set tunnel0 up
address add 10.77.0.1 peer 10.77.0.2 dev tunnel0
address add fd77::1 peer fd77::2 dev tunnel0 nodad
"""


@contextlib.contextmanager
def preferring(adapter: str) -> Iterator[Lab]:
    """A machine with two uplinks whose main prefers this one."""
    with Lab(main="both") as lab:
        uplink = lab.uplinks[adapter]
        lab.ip(f"route add default via {gateway(uplink, 4)} dev {adapter} metric 50")
        lab.ip(f"-6 route add ::/0 via {gateway(uplink, 6)} dev {adapter} metric 50")
        yield lab


def _begun(process: Process) -> Process:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _ended(process: Process) -> None:
    process.communicate(timeout=10)  # its stdin ends, and so does it


@contextlib.contextmanager
def servers(lab: Lab, family: int = 4) -> Iterator[None]:
    """A server of the tunnel behind each uplink. family: the outer one."""
    with server(lab.wan1, family), server(lab.wan2, family):
        yield


@contextlib.contextmanager
def server(uplink: Uplink, family: int = 4) -> Iterator[None]:
    """One behind an uplink."""
    pipe = subprocess.PIPE
    process = uplink.popen([*END, "tunnel0", "server", ENDPOINT[family], str(PORT)], stdin=pipe, stdout=pipe)
    try:
        _begun(process)
        uplink.batch(_SERVER)
        yield
    finally:
        _ended(process)


@contextlib.contextmanager
def client(
    lab: Lab, family: int = 4, *options: str, before: Sequence[str] = (), device: str = DEVICE
) -> Iterator[Process]:
    """The machine's end, with addresses. before: the words by which it is started."""
    pipe = subprocess.PIPE
    words = [*before, *END, device, "client", ENDPOINT[family], str(PORT), *options]
    process = lab.popen(words, stdin=pipe, stdout=pipe)
    try:
        _begun(process)
        lab.batch(_MACHINE.replace(DEVICE, device))
        yield process
    finally:
        _ended(process)


def is_outer(packet: Packet) -> bool:
    """Whether it is one of the tunnel's own, on its way to a server."""
    return packet.protocol == UDP and packet.destination in ENDPOINT.values()


def outer(lab: Lab) -> dict[str, int]:
    """By which uplinks outer packets left since the last lab.clear(), and how many."""
    lab.settle()
    found = {name: len(uplink.packets(where=is_outer)) for name, uplink in lab.uplinks.items()}
    return {name: number for name, number in found.items() if number}


def inside(who: Inhabitant, family: int) -> str:
    """Behind which uplink the server is that has answered through the tunnel; else what is wrong."""
    heard = who.ask("tcp", to=SERVER[family], seconds=1)
    if not heard.error and heard.client != OWN[family]:
        return f"{heard.router} saw {heard.client}"
    return heard.router or heard.error


def until_inside(who: Inhabitant, router: str, seconds: float = 10) -> None:
    """Wait until both families are answered through the tunnel from behind this uplink."""
    until(lambda: [inside(who, family) for family in (4, 6)] == [router, router], seconds)
