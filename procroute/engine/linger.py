"""The last words of a route's connections, before its rules go.

When a program ends, its kernel still has to say goodbye for it: the rest of the data, FIN, the last ACK.
Those packets carry the mark; with the rules gone they would leave by main's adapter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator

from procroute.identity import Identity
from procroute.kernel import sockets

Pause = Callable[[float], None]

# For the peer's goodbye: round trips of a slow line. For data that is still to be sent: about as long as the
# kernel itself tries for a program that is gone (ip-sysctl, tcp_orphan_retries). In seconds.
_GOODBYE = 2.0
_DATA = 120.0
_STEP = 0.01


def linger(identity: Identity, numbers: Collection[int], pause: Pause, patience: float = _DATA) -> bool:
    """Wait for the TCP sockets of these routes that nobody holds any more; whether all have gone.

    pause: lets so many seconds pass. patience: how long at most, in seconds, for data still to be sent.
    """
    begun = time.monotonic()
    while True:
        open_ones = [o for o in _orphans(identity, numbers) if o.state != sockets.TIME_WAIT]
        if not open_ones:
            return True
        waited = time.monotonic() - begun
        if waited > (patience if any(o.sending for o in open_ones) else min(patience, _GOODBYE)):
            return False
        pause(_STEP if waited < _GOODBYE else 10 * _STEP)


def end(identity: Identity, numbers: Collection[int]) -> None:
    """End what is left of them. No process may be on these routes: a request not yet accepted counts too."""
    for orphan in _orphans(identity, numbers):
        sockets.destroy(orphan)


def _orphans(identity: Identity, numbers: Collection[int]) -> Iterator[sockets.TcpSocket]:
    for number in numbers:
        for tcp in sockets.tcp_with_mark(identity.mark(number), identity.number_mask):
            if tcp.inode == 0:
                yield tcp
