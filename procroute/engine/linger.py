"""The last words of a route's connections, before its rules go.

When a program ends, its kernel still has to say goodbye for it: the rest of the data, FIN, the last ACK.
Those packets carry the mark; with the rules gone they would leave by main's adapter.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from procroute.identity import Identity
from procroute.kernel import sockets

# Round trips of a slow line, in seconds. What takes longer is ended, by the right adapter still.
_PATIENCE = 2.0
_STEP = 0.01


def linger(identity: Identity, numbers: Collection[int]) -> None:
    """Wait for the TCP sockets of these routes that nobody holds any more to say goodbye."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if all(orphan.state == sockets.TIME_WAIT for orphan in _orphans(identity, numbers)):
            return
        time.sleep(_STEP)


def end(identity: Identity, numbers: Collection[int]) -> None:
    """End what is left of them. No process may be on these routes: a request not yet accepted counts too."""
    for orphan in _orphans(identity, numbers):
        sockets.destroy(orphan)


def _orphans(identity: Identity, numbers: Collection[int]) -> Iterator[sockets.TcpSocket]:
    for number in numbers:
        for tcp in sockets.tcp_with_mark(identity.mark(number), identity.number_mask):
            if tcp.inode == 0:
                yield tcp
