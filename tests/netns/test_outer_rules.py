"""The ip rules for outer packets of the kernel's tunnels on the real kernel, where it has no WireGuard.

Any socket on the tunnel's port stands for it: so the look-ups of rules by port are the same, and the reverse
path check. With WireGuard itself: tests/vm/over.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import pytest

from procroute.lab import UDP, Lab, Packet
from tests.netns.inhabitants import bystander, routed
from tests.netns.running import ENVIRONMENT, PROCROUTE, procroute, unchanged, until
from tests.netns.traffic import (
    FAMILIES,
    SERVER,
    astray,
    both_families,
    delete_our_rules,
    gateway,
    own_address,
)

pytestmark = pytest.mark.promise("OVER-08")
PORT: Final = 51820
_CARRY: Final = """
import sys
from msgspec.structs import replace
from procroute.config import Settings
from procroute.daemon.asked import request_for
from procroute.engine.lock import at_once, lock
from procroute.engine.opening import decide, open_route
from procroute.identity import Identity
from procroute.kernel.linux import Linux
from procroute.protocol import Wanted
from socket import if_nametoindex
adapter, port, via = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with Linux(Identity()) as linux, lock(at_once):
    request = replace(request_for(Wanted(via=via)), absent=True)
    observed, live, _ = decide(linux, request, Settings())
    live = replace(live, tunnels=((if_nametoindex(adapter), port),))
    open_route(linux, observed, live)
"""
_SEND: Final = """
import socket, sys
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", port))
    sock.settimeout(seconds)
    try:
        sock.sendto(b"outer", (address, 7000))
        print(sock.recv(4096).decode())
    except OSError as e:
        print(type(e).__name__, e.errno)
"""


@contextmanager
def carrying(rp_filter: Literal[0, 1, 2] = 0) -> Iterator[Lab]:
    """lan0 stands for a tunnel over wan1; main prefers wan2, and no process is on the route."""
    with Lab(main="both", rp_filter=rp_filter) as lab:
        carry(lab)
        yield lab


def carry(lab: Lab, via: str = "wan1") -> None:
    """Have lan0 stand for a tunnel over a route, which may lack its adapter."""
    done = lab.run([PROCROUTE[0], "-c", _CARRY, "lan0", str(PORT), via], env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr


def sent(lab: Lab, family: int, port: int) -> tuple[set[str], str]:
    """By which uplinks it left from its own address, and what was heard."""
    lab.clear()
    words = [sys.executable, "-S", "-c", _SEND, SERVER[family], str(port), "1"]
    heard = lab.run(words).stdout
    lab.settle()

    def is_it(packet: Packet) -> bool:
        return packet.protocol == UDP and packet.source_port == port

    uplinks = (lab.wan1, lab.wan2)
    return {u.adapter for u in uplinks if u.packets(where=is_it, source=own_address(u, family))}, heard


@both_families
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_they_leave_by_the_route_and_are_answered(rp_filter: Literal[0, 1, 2], family: int) -> None:
    with carrying(rp_filter) as lab, bystander(lab) as other:
        by, heard = sent(lab, family, PORT)
        assert (by, '"router": "wan1"' in heard) == ({"wan1"}, True)
        assert sent(lab, family, PORT + 1)[0] == {"wan2"}
        for way in ("tcp", "unconnected"):
            assert not astray(lab, other, way, family, lab.wan2)


@pytest.mark.promise("NEG-16")
@both_families
def test_without_the_rules_they_go_by_main(family: int) -> None:
    with carrying() as lab:
        assert sent(lab, family, PORT)[0] == {"wan1"}
        delete_our_rules(lab)
        assert sent(lab, family, PORT)[0] == {"wan2"}


@both_families
def test_where_the_route_has_no_way_nothing_leaves(family: int) -> None:
    with carrying() as lab:
        lab.wan1.down()
        by, heard = sent(lab, family, PORT)
        assert by == set()
        assert heard.split() == ["OSError", "101"], "ENETUNREACH, at once"
        assert sent(lab, family, PORT + 1)[0] == {"wan2"}


@pytest.mark.promise("ABSENT-06")
@both_families
@pytest.mark.parametrize("rp_filter", [0, 1, 2])
def test_until_the_adapter_of_the_route_comes_nothing_leaves(
    rp_filter: Literal[0, 1, 2], family: int
) -> None:
    """It is an adapter that comes to have that name."""
    with Lab(main="both", rp_filter=rp_filter) as lab:
        carry(lab, "late0")
        by, heard = sent(lab, family, PORT)
        assert (by, heard.split()) == (set(), ["OSError", "101"]), "ENETUNREACH, at once"
        assert sent(lab, family, PORT + 1)[0] == {"wan2"}
        lab.ip("link property add dev wan1 altname late0")
        carry(lab, "late0")
        by, heard = sent(lab, family, PORT)
        assert (by, '"router": "wan1"' in heard) == ({"wan1"}, True)


def test_a_route_stays_as_long_as_its_tunnel_is_there() -> None:
    """Nobody is on it; the next run, which removes what is left over, leaves it."""
    with Lab(main="both") as lab, unchanged(lab):
        carry(lab)
        assert procroute(lab, "run", "--via", "wan2", "--", "true").returncode == 0
        for family in FAMILIES:
            assert sent(lab, family, PORT)[0] == {"wan1"}
        assert '"lan0"' in procroute(lab, "status", "--json").stdout
        assert procroute(lab, "cleanup").returncode == 0
        assert sent(lab, 4, PORT)[0] == {"wan2"}


@both_families
@pytest.mark.parametrize("when", ["before us", "after us"])
def test_beside_wg_quicks_rules(when: str, family: int) -> None:
    """They come and go, and so does the tunnel; nothing is left of what stood before them."""
    rule = f"ip -{family} rule"
    add = f"{rule} add not fwmark 51820 table 51820; {rule} add table main suppress_prefixlength 0"
    delete = f"{rule} delete table 51820; {rule} delete table main suppress_prefixlength 0"
    with carrying() as lab, routed(lab, via="wan1") as command:
        lab.ip(f"-{family} route add default via {gateway(lab.lan, family)} dev lan0 table 51820")
        if when == "before us":
            command.freeze()
            delete_our_rules(lab)
        lab.sh(add)
        command.thaw()
        until(lambda: "sport" in lab.ip(f"-{family} rule show"), 10)
        for _ in range(20):
            assert sent(lab, family, PORT)[0] == {"wan1"}
        assert lab.ip(f"-{family} rule show").count("sport") == (2 if when == "before us" else 3)
        lab.ip("link set lan0 down")
        lab.ip("link del lan0")
        lab.sh(delete)
        until(lambda: "sport" not in lab.ip(f"-{family} rule show"), 10)


def test_it_goes_with_its_tunnel() -> None:
    with carrying() as lab:
        lab.ip("link set lan0 down")
        lab.ip("link del lan0")
        assert procroute(lab, "run", "--via", "wan2", "--", "true").returncode == 0
        assert "sport" not in lab.ip("rule show") + lab.ip("-6 rule show")
        assert sent(lab, 4, PORT)[0] == {"wan2"}
