"""The guard program: what leaves by another adapter is dropped and counted, and what may leave is not."""

from __future__ import annotations

import functools
import os
import socket
import struct
from ipaddress import ip_network

import pytest

from procroute.kernel import programs
from procroute.lab import ICMP, ICMP6
from procroute.lab.patience import FACTOR
from procroute.lab.servers import WHO_PORT
from tests.netns.asking import SECONDS, TCP, UDP, ask, mark_of, opened
from tests.netns.by_hand import MARKING, RULE, STRICT, Target, batch
from tests.netns.traffic import SERVER, both_families, elsewhere, gateway, own_address

each_kind = pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
LINK = [(4, "224.0.0.251"), (4, "255.255.255.255"), (4, "169.254.1.1"), (6, "ff02::fb"), (6, "fe80::1")]


@each_kind
@both_families
def test_what_leaves_by_another_adapter_is_dropped_and_counted(
    target: Target, family: int, kind: int
) -> None:
    source = own_address(target.lab.wan2, family)
    target.attach()
    assert target.routed(ask, family, kind, SERVER[family])[0] == "wan1"
    assert target.drops() == 0
    target.detach("attempt")
    others = functools.partial(target.routed, ask, family, kind, SERVER[family], wait=SECONDS)
    with pytest.raises(OSError):  # noqa: PT011 - UDP says EPERM, TCP nothing at all
        others(source=source)
    with pytest.raises(OSError):  # noqa: PT011
        others(device="wan2")
    assert target.drops() >= 2
    assert not elsewhere(target.lab, "wan1")
    target.detach("guard")
    assert others(source=source) == ("wan2", source)
    assert others(device="wan2") == ("wan2", source)


@both_families
def test_udp_that_is_dropped_says_so_to_the_sender(target: Target, family: int) -> None:
    target.attach()
    with pytest.raises(PermissionError):
        target.routed(ask, family, UDP, SERVER[family], source=own_address(target.lab.wan2, family))


def ping(family: int, address: str, device: str) -> bytes:
    with opened(family, UDP, ICMP if family == 4 else ICMP6, wait=SECONDS) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.sendto(struct.pack("!BBHHH", 8 if family == 4 else 128, 0, 0, 0, 1), (address, 0))
        return sock.recv(100)


@both_families
def test_ping_by_another_adapter_is_dropped(target: Target, family: int) -> None:
    target.attach()
    assert target.routed(ping, family, SERVER[family], "wan1")
    # IPv6 does not tell the sender.
    with pytest.raises(PermissionError if family == 4 else TimeoutError):
        target.routed(ping, family, SERVER[family], "wan2")
    assert programs.drops(target.path) == {target.wan2: 1}


@both_families
def test_lan_prefixes_and_their_exceptions(target: Target, family: int) -> None:
    router, net = gateway(target.lab.wan2, family), target.net_of_wan2(family)
    host = ip_network(router)
    wan1, wan2 = target.wan1, target.wan2
    reach = functools.partial(target.routed, ask, family, UDP, router, device="wan2", wait=0.5)
    target.attach()
    for lan in ((), ((net, wan1),), ((net, 0), (host, wan1)), ((net, wan2), (host, 4711))):
        target.update(lan=frozenset(lan))
        with pytest.raises(PermissionError):
            reach()
    for lan in (((net, 0),), ((net, wan2),), ((net, wan1), (net, wan2)), ((net, 9), (host, 0))):
        target.update(lan=frozenset(lan))
        assert reach()[0] == "wan2"


def send_by(family: int, address: str, device: str) -> int:
    with opened(family, UDP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        scope = (0, socket.if_nametoindex(device)) if family == 6 else ()
        return sock.sendto(b"?", (address, 9, *scope))


@pytest.mark.parametrize(("family", "address"), LINK)
def test_multicast_and_link_local_pass_unless_strict(target: Target, family: int, address: str) -> None:
    target.attach()
    assert target.routed(send_by, family, address, "wan2") == 1
    target.detach()
    target.attach(STRICT)
    with pytest.raises(PermissionError):
        target.routed(send_by, family, address, "wan2")


@both_families
def test_a_strict_route_has_no_lan(target: Target, family: int) -> None:
    target.attach(STRICT, lan=frozenset({(target.net_of_wan2(family), 0)}))
    with pytest.raises(PermissionError):
        target.routed(send_by, family, gateway(target.lab.wan2, family), "wan2")
    assert target.routed(send_by, family, gateway(target.lab.wan1, family), "wan1") == 1


def go_on(family: int, kind: int, moved: int, told: int) -> str:
    """Open a conversation, wait until the routes have changed, try to go on."""
    with opened(family, kind, wait=1) as sock:
        sock.connect((SERVER[family], WHO_PORT))
        if kind == UDP:
            sock.send(b"who")
        assert b'"wan1"' in sock.recv(200)
        os.write(told, b"!")
        os.read(moved, 1)
        sock.settimeout(SECONDS * FACTOR)
        try:
            sock.send(b"secret")
            return sock.recv(100).decode()
        except TimeoutError:
            return "nothing"
        except PermissionError:
            return "refused"


@each_kind
@both_families
def test_a_connection_that_the_routes_move_to_another_adapter_is_stopped(
    target: Target, family: int, kind: int
) -> None:
    target.attach()
    moved, move = os.pipe()
    tell, told = os.pipe()
    mover = os.fork()
    if mover == 0:
        try:
            os.read(tell, 1)
            batch(target.lab, family, f"rule delete {RULE}")
            os.write(move, b"!")
        finally:
            os._exit(0)
    try:
        assert target.routed(go_on, family, kind, moved, told) in {"nothing", "refused"}
    finally:
        os.waitpid(mover, 0)
        batch(target.lab, family, f"rule add {RULE}")
        for end in (moved, move, tell, told):
            os.close(end)
    assert target.drops() > 0
    assert not elsewhere(target.lab, "wan1")


@both_families
def test_sockets_that_outlive_their_cgroup_are_still_guarded(target: Target, family: int) -> None:
    target.attach()
    ours, theirs = socket.socketpair()

    def hand_over() -> None:
        with opened(family, UDP) as udp, opened(family, TCP) as tcp:
            socket.send_fds(theirs, [b"!"], [udp.fileno(), tcp.fileno()])

    with ours, theirs:
        target.routed(hand_over)
        _data, descriptors, _flags, _address = socket.recv_fds(ours, 1, 2)
    os.rmdir(f"{target.path}/run")
    os.rmdir(target.path)
    assert programs.attached(target.path) is None
    own = own_address(target.lab.wan2, family)
    with socket.socket(fileno=descriptors[0]) as udp, socket.socket(fileno=descriptors[1]) as tcp:
        assert mark_of(udp) == MARKING.mark
        udp.bind((own, 0))
        with pytest.raises(PermissionError):
            udp.sendto(b"?", (SERVER[family], WHO_PORT))
        tcp.settimeout(SECONDS * FACTOR)
        tcp.bind((own, 0))
        with pytest.raises(OSError, match="unreachable"):
            tcp.connect((SERVER[family], WHO_PORT))
    assert not elsewhere(target.lab, "wan1")
