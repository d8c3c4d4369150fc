"""The look-up programs: questions to the system's resolvers go to the adapter's servers, and seem not to."""

from __future__ import annotations

import errno
import itertools
import os
import struct
from ipaddress import ip_address

import pytest

from procroute.kernel.bpf import loading
from procroute.lab import WAN1
from procroute.lab.servers import DNS_PORT
from tests.netns.asking import TCP, UDP, opened
from tests.netns.by_hand import Target
from tests.netns.traffic import SERVER

STUB = "127.0.0.53"
SYSTEM = {4: "192.0.2.153", 6: "2001:db8:ffff::153"}
RESOLVERS = (ip_address(STUB), ip_address(SYSTEM[4]), ip_address(SYSTEM[6]))
SERVERS4 = (ip_address(WAN1.gateway4), ip_address(WAN1.dns4))
SERVERS6 = (ip_address(WAN1.gateway6), ip_address(WAN1.dns6))
MODES = [(UDP, True), (UDP, False), (TCP, True)]
each_mode = pytest.mark.parametrize(("kind", "connected"), MODES, ids=["connected", "unconnected", "tcp"])
unreachable = pytest.raises(OSError, match=os.strerror(errno.ENETUNREACH))
_names = (f"q{number}.test" for number in itertools.count())


def question(name: str) -> bytes:
    """A DNS message that asks for an address (RFC 1035)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 1, 0x100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)


def ask(family: int, kind: int, connected: bool, resolver: str, name: str) -> tuple[str, str]:
    """The sender as the client sees it, and the peer as getpeername() tells it."""
    with opened(family, kind) as sock:
        if not connected:
            sock.sendto(question(name), (resolver, DNS_PORT))
            return str(sock.recvfrom(500)[1][0]), ""
        sock.connect((resolver, DNS_PORT))
        peer = str(sock.getpeername()[0])
        if kind == TCP:
            message = question(name)
            sock.sendall(struct.pack("!H", len(message)) + message)
            assert sock.recv(500)
            return resolver, peer
        sock.send(question(name))
        return str(sock.recvfrom(500)[1][0]), peer


def look_up(target: Target, family: int, kind: int, connected: bool, resolver: str) -> tuple[str, str, str]:
    """The server that answered, by wan1; sender and peer as the client sees them."""
    name = next(_names)
    sender, peer = target.routed(ask, family, kind, connected, resolver, name)
    (query,) = target.lab.wan1.queries(name)
    return query.server, sender, peer


@each_mode
def test_lookups_go_to_the_adapters_server_and_seem_to_come_from_the_resolver(
    target: Target, kind: int, connected: bool
) -> None:
    target.attach(dns_servers=SERVERS4[:1] + SERVERS6[:1], resolvers=RESOLVERS)
    server = {4: str(SERVERS4[0]), 6: str(SERVERS6[0])}
    matrix = [
        (4, STUB, server[4]),
        (4, "127.0.0.1", server[4]),
        (4, SYSTEM[4], server[4]),
        (6, "::ffff:127.0.0.53", server[4]),
        (6, f"::ffff:{SYSTEM[4]}", server[4]),
        (6, "::1", server[6]),
        (6, SYSTEM[6], server[6]),
    ]
    for family, resolver, expected in matrix:
        answered, sender, peer = look_up(target, family, kind, connected, resolver)
        assert (answered, sender) == (expected, resolver)
        assert peer in {"", resolver}
    target.detach("dns")
    with pytest.raises(OSError):  # noqa: PT011
        target.routed(ask, 4, kind, connected, STUB, next(_names))


@each_mode
def test_servers_asked_by_name_are_left_alone(target: Target, kind: int, connected: bool) -> None:
    target.attach(dns_servers=SERVERS4[:1] + SERVERS6[:1], resolvers=RESOLVERS)
    for family, servers in ((4, SERVERS4), (6, SERVERS6)):
        for address in (SERVER[family], str(servers[1]), str(servers[0])):
            assert look_up(target, family, kind, connected, address)[:2] == (address, address)


@each_mode
def test_two_resolvers_are_spread_over_two_servers(target: Target, kind: int, connected: bool) -> None:
    target.attach(dns_servers=SERVERS4 + SERVERS6, resolvers=RESOLVERS)
    for family, resolver, server in (
        (4, STUB, SERVERS4[0]),
        (4, SYSTEM[4], SERVERS4[1]),
        (4, "127.0.0.1", SERVERS4[0]),
        (6, SYSTEM[6], SERVERS6[0]),
    ):
        assert look_up(target, family, kind, connected, resolver)[0] == str(server)


def ask_all(family: int, names: dict[str, str]) -> set[str]:
    """As musl does: one socket, a question to each, answers told apart by their senders."""
    with opened(family, UDP) as sock:
        for resolver, name in names.items():
            sock.sendto(question(name), (resolver, DNS_PORT))
        return {sock.recvfrom(500)[1][0] for _ in names}


def test_one_socket_can_ask_several_resolvers(target: Target) -> None:
    target.attach(dns_servers=SERVERS4 + SERVERS6, resolvers=RESOLVERS)
    mapped = [f"::ffff:{STUB}", f"::ffff:{SYSTEM[4]}", SYSTEM[6]]
    for family, resolvers, servers in (
        (4, [STUB, SYSTEM[4]], SERVERS4),
        (6, mapped, (*SERVERS4, SERVERS6[0])),
    ):
        names = dict(zip(resolvers, _names, strict=False))
        assert target.routed(ask_all, family, names) == set(resolvers)
        asked = [target.lab.wan1.queries(name)[0].server for name in names.values()]
        assert asked == [str(server) for server in servers]


@pytest.mark.parametrize("kind", [UDP, TCP], ids=["udp", "tcp"])
def test_without_a_server_of_the_family(target: Target, kind: int) -> None:
    """A connected IPv6 socket can be given the other family's; what cannot be is unreachable at once."""
    target.attach(dns_servers=SERVERS4[:1], resolvers=RESOLVERS)
    assert look_up(target, 6, kind, True, SYSTEM[6]) == (str(SERVERS4[0]), SYSTEM[6], SYSTEM[6])
    with unreachable:
        target.routed(ask, 6, UDP, False, SYSTEM[6], "none.test")
    target.update(dns_servers=SERVERS6[:1], resolvers=RESOLVERS)
    with unreachable:
        target.routed(ask, 4, kind, True, STUB, "none.test")
    mapped = f"::ffff:{STUB}"
    assert look_up(target, 6, kind, True, mapped) == (str(SERVERS6[0]), mapped, mapped)
    with unreachable:
        target.routed(ask, 4, UDP, False, STUB, "none.test")


def test_kernels_without_a_choice_of_error_refuse_with_eperm(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_retval", False)
    target.attach(dns_servers=SERVERS4, resolvers=RESOLVERS)
    with pytest.raises(PermissionError):
        target.routed(ask, 6, UDP, False, SYSTEM[6], "none.test")
    assert look_up(target, 4, UDP, False, STUB)[1] == STUB


def peer_on_another_port(family: int, address: str) -> tuple[str, int]:
    with opened(family, UDP) as sock:
        sock.connect((address, 7))
        host, port = sock.getpeername()[:2]
        return str(host), int(port)


def test_other_ports_of_a_resolver_are_left_alone(target: Target) -> None:
    target.attach(dns_servers=SERVERS4 + SERVERS6, resolvers=RESOLVERS)
    for family, address in ((4, STUB), (4, SYSTEM[4]), (6, SYSTEM[6])):
        assert target.routed(peer_on_another_port, family, address) == (address, 7)
