"""rtnetlink(7): dumps, and many changes in one system call. Who uses it writes and reads the messages."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from itertools import islice

from procroute.kernel.netlink import Netlink

# linux/netlink.h
REPLACE, EXCLUDE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
_SOL_NETLINK, _SHORT_ACK, _STRICT_CHECK = 270, 10, 12
# As many answers as surely fit into the socket's receive buffer.
_AT_ONCE = 64

OWN_PORTS: set[int] = set()
"""Those of this process's sockets, by which the kernel tells of who changed something."""
Change = tuple[int, int, bytes]
"""A message's type (RTM_NEWRULE …), flags (CREATE …), and body."""


class Rtnetlink(Netlink):
    """A socket to the kernel's routing state in our network namespace. All methods raise OSError."""

    def __init__(self) -> None:
        super().__init__(socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._port: int = self._socket.getsockname()[0]
        OWN_PORTS.add(self._port)
        self._socket.setsockopt(_SOL_NETLINK, _SHORT_ACK, 1)
        # Dumps are filtered by the kernel, and wrong requests refused rather than half understood.
        self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)

    def close(self) -> None:
        """Close the socket."""
        OWN_PORTS.discard(self._port)
        super().close()

    def change(self, changes: Iterable[Change]) -> list[int]:
        """Make changes in order; for each what the kernel answered: 0, or an errno.

        Later ones are made although an earlier one was refused; after 64 at most, a refusal ends it.
        """
        answers: list[int] = []
        left = iter(changes)
        while not any(answers) and (some := list(islice(left, _AT_ONCE))):
            answers += self._together(some)
        return answers
