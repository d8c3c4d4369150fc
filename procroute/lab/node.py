"""A node at the far end of a wire: its servers, its capture and the calls of its owner, in one loop.

Runs as a forked child of the keeper, in a network namespace of its own.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import cast

from procroute.lab import cgroups, namespaces, tunnel
from procroute.lab.capture import Capture
from procroute.lab.channel import Callee
from procroute.lab.servers import Servers

_SYSCTLS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/default/arp_ignore": "1",  # answer ARP for the adapter's addresses only
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
}


class Node:
    """The process of one node. It lives until its owner hangs up or the keeper ends."""

    def __init__(self, sock: socket.socket, name: str, number: int) -> None:
        self._name = name
        self._selector = selectors.DefaultSelector()
        self._servers = Servers(self._selector, name, number)
        self._capture: Capture | None = None
        callee = Callee(
            sock,
            {
                "ready": os.getpid,
                "capture": self._start_capture,
                "settled": self._settled,
                "packets": lambda: [astuple(packet) for packet in self._captured().packets()],
                "lost": lambda: self._captured().lost(),
                "queries": lambda: [astuple(query) for query in self._servers.queries],
                "clear": self._clear,
                "tunnel": self._tunnel,
            },
        )
        self._callee = callee

    def serve(self) -> None:
        """The loop; returns when the owner has hung up."""
        self._selector.register(self._callee.sock, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._callee.sock:
                    if not self._callee.step():
                        return
                else:
                    cast("Callable[[], None]", key.data)()

    def _start_capture(self, adapter: str) -> None:
        self._capture = Capture(adapter, self._name)
        self._selector.register(self._capture.sock, selectors.EVENT_READ, self._capture.read)

    def _captured(self) -> Capture:
        if self._capture is None:
            raise RuntimeError("no capture was started")
        return self._capture

    def _settled(self, token: str, count: int, seconds: float) -> bool:
        return self._captured().wait_for_markers(bytes.fromhex(token), count, seconds)

    def _clear(self) -> None:
        self._captured().clear()
        self._servers.queries.clear()

    def _tunnel(self, machine: int, adapter: str, far_end: str) -> None:
        """Make a tun adapter in the machine and one here, with this process as the wire between them."""
        near, far = tunnel.pair(machine, adapter, far_end)
        for source, sink in ((near, far), (far, near)):
            os.set_blocking(source, False)
            self._selector.register(
                source, selectors.EVENT_READ, lambda source=source, sink=sink: tunnel.carry(source, sink)
            )


def run(sock: socket.socket, cgroup: Path, name: str, number: int) -> None:
    """The life of a node's process."""
    namespaces.die_with_parent(signal.SIGKILL)
    cgroups.join(cgroup)
    namespaces.unshare(namespaces.NEWNET)
    for path, value in _SYSCTLS.items():
        Path("/proc/sys", path).write_text(value)
    Node(sock, name, number).serve()
