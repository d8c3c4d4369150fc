"""The guard program: by the route's adapter no packet carries another adapter's address."""

from __future__ import annotations

import functools
import socket
import struct
from ipaddress import ip_address

import pytest

from procroute.core.door import Marking
from procroute.kernel import programs
from procroute.lab.servers import DNS_PORT
from tests.netns.asking import ANY, UDP, opened
from tests.netns.by_hand import MARKING, STRICT, Target, batch
from tests.netns.probe import IP_PKTINFO
from tests.netns.traffic import SERVER, both_families, elsewhere, gateway, own_address

# UDP_SEGMENT of linux/udp.h, with its 16 bits: ancillary data that makes the kernel look at the source again.
SEGMENTS = (socket.IPPROTO_UDP, 103, struct.pack("=H", 100))
# Where no server is: its answer to a socket that is closed by then would make the kernel send, too.
NOBODY = 9
each_socket = pytest.mark.parametrize(
    ("family", "mapped"), [(4, False), (6, False), (4, True)], ids=["IPv4", "IPv6", "mapped"]
)


def send_from(
    family: int,
    source: str,
    to: str,
    port: int = NOBODY,
    *,
    mapped: bool = False,
    connected: bool = False,
    bound: bool = False,
) -> None:
    """Send by UDP with the source in IP_PKTINFO (ip(7), ipv6(7)). connected: with neither address named."""
    prefix = "::ffff:" if mapped else ""
    with opened(6 if mapped else family, UDP) as sock:
        if bound:
            sock.bind((prefix + source, 0))
        if connected:
            sock.connect((prefix + to, port))
            sock.sendmsg([b"?"], [SEGMENTS])
        elif sock.family == socket.AF_INET6:
            info = socket.inet_pton(socket.AF_INET6, prefix + source) + bytes(4)
            cmsg = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)
            sock.sendmsg([b"?"], [cmsg], 0, (prefix + to, port))
        else:
            info = bytes(4) + socket.inet_pton(socket.AF_INET, source) + bytes(4)
            sock.sendmsg([b"?"], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (to, port))


def left(target: Target, adapter: str, source: str) -> int:
    """How many packets came out by an adapter from an address since the last time."""
    target.lab.settle()
    found = len(target.lab.uplinks[adapter].packets(source=source, protocol=socket.IPPROTO_UDP))
    target.lab.clear()
    return found


@each_socket
def test_udp_does_not_carry_another_adapters_address(target: Target, family: int, mapped: bool) -> None:
    own, other = own_address(target.lab.wan1, family), own_address(target.lab.wan2, family)
    target.attach(addresses=target.addresses())
    send = functools.partial(target.routed, send_from, family, to=SERVER[family], mapped=mapped)
    send(own)
    send(own, connected=True)
    assert left(target, "wan1", own) == 2
    assert target.drops() == 0
    with pytest.raises(PermissionError):
        send(other)
    assert target.drops() == 1
    # What is bound goes by the rules to the other adapter.
    with pytest.raises(PermissionError):
        send(other, bound=True)
    assert target.drops() == 2
    assert left(target, "wan1", other) == 0
    target.detach("guard")
    send(other)
    assert left(target, "wan1", other) == 1
    assert target.drops() == 2


@each_socket
def test_an_address_that_nobody_is_known_to_have_is_not_carried(
    target: Target, family: int, mapped: bool
) -> None:
    """It may have gone from another adapter a moment ago, or have come there."""
    other, own = own_address(target.lab.wan2, family), own_address(target.lab.wan1, family)
    target.attach(addresses=frozenset({(ip_address(own), target.wan1)}))
    with pytest.raises(PermissionError):
        target.routed(send_from, family, other, SERVER[family], mapped=mapped)
    assert programs.drops(target.path) == {target.wan1: 1}
    target.routed(send_from, family, own, SERVER[family], mapped=mapped)
    assert left(target, "wan1", own) == 1


@each_socket
def test_however_many_addresses_the_adapter_has(target: Target, family: int, mapped: bool) -> None:
    """Some of them are known at once, the rest by the map."""
    lowest = {4: "1.0.0.{}", 6: "2001:db8::{}"}[family]
    many = {(ip_address(lowest.format(i)), target.wan1) for i in range(1, 40)}
    own = own_address(target.lab.wan1, family)
    target.attach(addresses=frozenset({*many, (ip_address(own), target.wan1)}))
    target.routed(send_from, family, own, SERVER[family], mapped=mapped)
    assert left(target, "wan1", own) == 1


@each_socket
def test_the_lan_is_told_the_lans_address(target: Target, family: int, mapped: bool) -> None:
    """Whether it is named, or connect() chose it."""
    lab = target.lab
    to, own, net = gateway(lab.wan2, family), own_address(lab.wan2, family), target.net_of_wan2(family)
    lan = frozenset({(net, target.wan2)})
    batch(lab, family, f"route add {net} dev wan2 table 101")
    try:
        send = functools.partial(target.routed, send_from, family, own, to, mapped=mapped)
        target.attach(lan=lan, addresses=target.addresses())
        send()
        send(connected=True)
        send(port=DNS_PORT)
        assert left(target, "wan2", own) == 3
        assert target.drops() == 0
        # A resolver in the LAN: the look-up programs send that on to the route's server.
        server = ip_address(gateway(lab.wan1, family))
        resolvers = (ip_address(to),)
        target.update(lan=lan, addresses=target.addresses(), dns_servers=(server,), resolvers=resolvers)
        with pytest.raises(PermissionError):
            send(port=DNS_PORT)
        target.detach()
        target.attach(STRICT, lan=lan, addresses=target.addresses())
        for connected in (False, True):
            with pytest.raises(PermissionError):
                send(connected=connected)
        assert not elsewhere(lab)
    finally:
        batch(lab, family, f"route delete {net} dev wan2 table 101")


def say_to_oneself(family: int, address: str) -> None:
    with opened(family, UDP) as server, opened(family, UDP) as sock:
        server.bind((ANY[family], 0))
        sock.connect((address, server.getsockname()[1]))
        assert sock.getsockname()[0] == address
        sock.sendmsg([b"?"], [SEGMENTS])
        assert server.recv(10) == b"?"


@pytest.mark.parametrize("marking", [MARKING, STRICT], ids=["lan", "strict"])
@both_families
def test_the_machine_itself_is_told_all_of_its_addresses(
    target: Target, family: int, marking: Marking
) -> None:
    target.attach(marking, addresses=target.addresses())
    for uplink in (target.lab.wan1, target.lab.wan2):
        target.routed(say_to_oneself, family, own_address(uplink, family))
    assert target.drops() == 0
