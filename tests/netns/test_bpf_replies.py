"""The replies program: servers in a target answer those who came in by another adapter."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from procroute.lab.patience import FACTOR
from tests.netns.asking import ANY, TCP, UDP
from tests.netns.by_hand import Target
from tests.netns.traffic import both_families, elsewhere, own_address

PORT = 8080
CLIENT = {4: "192.0.2.99", 6: "2001:db8:ffff::99"}
MAPPED = "::ffff:203.0.113.2"


@contextlib.contextmanager
def serving(target: Target, family: int, kind: int, address: str, only6: bool = True) -> Iterator[None]:
    """A server in the target that answers one client in capitals."""
    ready, up = os.pipe()

    def serve() -> None:
        with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind) as sock:
            if family == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.settimeout(5 * FACTOR)
            sock.bind((address, PORT))
            if kind == UDP:
                os.write(up, b"!")
                data, peer = sock.recvfrom(100)
                sock.sendto(data.upper(), peer)
                return
            sock.listen()
            os.write(up, b"!")
            connection, _peer = sock.accept()
            with connection:
                connection.settimeout(5 * FACTOR)
                connection.sendall(connection.recv(100).upper())

    server = os.fork()
    if server == 0:
        try:
            target.enter(serve)
        finally:
            os._exit(0)
    os.close(up)
    try:
        assert os.read(ready, 1) == b"!"
        yield
    finally:
        os.close(ready)
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def answered(target: Target, family: int, kind: int, adapter: str, timeout: float = 3) -> str:
    """What a client behind an adapter hears from a server at that adapter's address."""
    uplink = target.lab.uplinks[adapter]
    transport = "tcp" if kind == TCP else "udp"
    address = own_address(uplink, family)
    answer = uplink.dial(CLIENT[family], address, PORT, transport, "hello", timeout)  # type: ignore[arg-type]
    return answer.text or answer.error


@both_families
def test_servers_answer_who_came_in_by_another_adapter(target: Target, family: int) -> None:
    wan2 = own_address(target.lab.wan2, family)
    target.attach(addresses=target.addresses())
    for kind, address, adapter in (
        (TCP, ANY[family], "wan1"),
        (TCP, ANY[family], "wan2"),
        (TCP, wan2, "wan2"),
        (UDP, wan2, "wan2"),
    ):
        target.lab.clear()
        with serving(target, family, kind, address):
            assert answered(target, family, kind, adapter) == "HELLO"
        assert not elsewhere(target.lab, adapter)
    assert target.drops() == 0
    target.detach("replies")
    for kind in (TCP, UDP):
        with serving(target, family, kind, wan2):
            assert answered(target, family, kind, "wan2", timeout=0.4) != "HELLO"
    assert target.drops() > 0


@pytest.mark.parametrize(("kind", "address"), [(TCP, "::"), (TCP, MAPPED), (UDP, MAPPED)])
def test_a_server_on_a_mapped_socket_answers(target: Target, kind: int, address: str) -> None:
    target.attach(addresses=target.addresses())
    with serving(target, 6, kind, address, only6=False):
        assert answered(target, 4, kind, "wan2") == "HELLO"
