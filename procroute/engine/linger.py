"""The last words of a route's connections, before its rules go.

When a program ends, its kernel still has to say goodbye for it: the rest of the data, FIN, the last ACK.
Those packets carry the mark; with the rules gone they would leave by main's adapter.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from procroute.engine.lock import Pause
from procroute.engine.words import Tell
from procroute.identity import Identity
from procroute.kernel import sockets

# For the peer's goodbye: round trips of a slow line. For data that is still to be sent: as long as it moves,
# and so long where it does not. In seconds.
_GOODBYE = 2.0
_STALLED = 10.0
_STEP = 0.01


def linger(identity: Identity, numbers: Collection[int], pause: Pause, stalled: float = _STALLED) -> None:
    """Wait for the TCP sockets of these routes that nobody holds any more to go.

    pause: lets so many seconds pass. stalled: for how many seconds at most data may stand still.
    """
    since, before = time.monotonic(), -1
    while True:
        open_ones = [o for o in _orphans(identity, numbers) if o.state != sockets.TIME_WAIT]
        if not open_ones:
            return
        unsent = sum(o.unsent for o in open_ones if o.sending)
        now = time.monotonic()
        if unsent not in (0, before):
            since, before = now, unsent
        if now - since > (stalled if unsent else min(stalled, _GOODBYE)):
            return
        pause(_STEP)


def end(identity: Identity, numbers: Collection[int], tell: Tell) -> None:
    """End what is left of them. No process may be on these routes: a request not yet accepted counts too.

    tell: says it to people where the kernel cannot. Raises OSError.
    """
    left = [o for o in _orphans(identity, numbers) if not sockets.destroy(o)]
    if any(o.state != sockets.TIME_WAIT for o in left):
        tell(
            "connections that are still closing cannot be ended by this kernel, for want of "
            "CONFIG_INET_DIAG_DESTROY: their last packets may leave by the machine's own way"
        )


def _orphans(identity: Identity, numbers: Collection[int]) -> Iterator[sockets.TcpSocket]:
    for number in numbers:
        for tcp in sockets.tcp_with_mark(identity.mark(number), identity.number_mask):
            if tcp.inode == 0:
                yield tcp
