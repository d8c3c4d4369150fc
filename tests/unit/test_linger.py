"""The last words of a route's connections: what cannot be ended is said."""

from __future__ import annotations

import socket

import pytest

from procroute.engine import linger
from procroute.identity import Identity
from procroute.kernel import sockets

TCP = sockets.InetSocket(socket.AF_INET, 1, 0, bytes(48))


@pytest.mark.promise("ERR-07")
def test_connections_that_the_kernel_cannot_end_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = sockets.InetSocket(socket.AF_INET, sockets.TIME_WAIT, 0, bytes(48))
    asked: list[sockets.InetSocket] = []
    said: list[str] = []

    def cannot(tcp: sockets.InetSocket) -> bool:
        asked.append(tcp)
        return False

    monkeypatch.setattr(sockets, "destroy", cannot)
    monkeypatch.setattr(sockets, "with_mark", lambda *_: iter([waiting]))
    linger.end(Identity(), linger.Carried([1]), said.append)
    assert said == []
    monkeypatch.setattr(sockets, "with_mark", lambda *_: iter([TCP, TCP]))
    linger.end(Identity(), linger.Carried([1]), said.append)
    assert len(said) == 1
    assert "CONFIG_INET_DIAG_DESTROY" in said[0]
    assert asked == [waiting, TCP, TCP]
