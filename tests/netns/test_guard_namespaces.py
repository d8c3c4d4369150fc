"""What a command sends in a network namespace of its own is no traffic of the machine's adapters."""

from __future__ import annotations

import sys

import pytest

from procroute.lab import Lab
from tests.netns.running import ENVIRONMENT, run_by

_INSIDE = """
import socket, subprocess, sys
for line in (
    "link add inner type veth peer name outer",
    "addr add 10.9.0.1/24 dev inner",
    "addr add fd09::1/64 dev inner nodad",
    "link set inner up",
    "link set outer up",
    "neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev inner",
    "neigh add fd09::2 lladdr 02:00:00:00:00:02 dev inner",
):
    subprocess.run(["ip", *line.split()], check=True)
for family, to in ((socket.AF_INET, "10.9.0.2"), (socket.AF_INET6, "fd09::2")):
    for port in (9, 53):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"inner")
            s.sendto(b"x", (to, port))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    print(hex(s.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)))
"""


@pytest.mark.promise("LEAK-04", "PATH-09")
@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["", "strict"])
@pytest.mark.parametrize("adapter", ["wan1", "wan2"])
def test_a_namespace_of_its_own_is_let_be(adapter: str, options: tuple[str, ...]) -> None:
    """Its adapters have numbers of their own, which may be those of the machine's."""
    with Lab() as lab:
        inside = ["unshare", "-n", sys.executable, "-S", "-c", _INSIDE]
        done = lab.run([*run_by(adapter, *options, "--dns", "192.0.2.53"), *inside], env=ENVIRONMENT)
        assert (done.returncode, done.stdout) == (0, "0x1000000\n"), done.stderr


@pytest.mark.promise("PATH-09")
def test_the_machines_own_sockets_are_told_apart() -> None:
    """One made in the machine's namespace by the same command carries the route's number."""
    with Lab() as lab:
        ask = "import socket; print(hex(socket.socket().getsockopt(socket.SOL_SOCKET, socket.SO_MARK)))"
        done = lab.run([*run_by("wan1"), sys.executable, "-S", "-c", ask], env=ENVIRONMENT)
        assert done.stdout == "0x2000000\n"
