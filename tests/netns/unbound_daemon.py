"""A program for the machine: a daemon whose checks are of no route and no adapter, as a negative control."""

from __future__ import annotations

import socket

from procroute.cli.main import main
from procroute.kernel import probes
from procroute.kernel.probes import Path
from procroute.model import IPAddress


def _unbound(to: IPAddress, kind: int, protocol: int, path: Path) -> socket.socket:
    del path
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)


if __name__ == "__main__":
    probes._socket = _unbound
    raise SystemExit(main(["daemon"]))
