"""The last words of a route's connections, before its rules go.

When a program ends, its kernel still has to say goodbye for it: the rest of the data, FIN, the last ACK.
Those packets carry the mark; with the rules gone they would leave by main's adapter.
"""

from __future__ import annotations

import time

from procroute.identity import Identity
from procroute.kernel import sockets

# Round trips of a slow line, in seconds. What takes longer is ended, by the right adapter still.
_PATIENCE = 2.0
_STEP = 0.01


def linger(identity: Identity, number: int) -> None:
    """Wait for the TCP sockets of a route that nobody holds any more, then end what is left of them."""
    until = time.monotonic() + _PATIENCE
    while True:
        mine = list(sockets.tcp_with_mark(identity.mark(number), identity.number_mask))
        orphans = [s for s in mine if s.inode == 0]
        closing = [s for s in orphans if s.state != sockets.TIME_WAIT]
        if not closing or time.monotonic() > until:
            break
        time.sleep(_STEP)
    for orphan in orphans:
        sockets.destroy(orphan)
