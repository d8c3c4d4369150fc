"""The last words of a route's connections, before its rules go.

When a program ends, its kernel still has to say goodbye for it: the rest of the data, FIN, the last ACK.
Those packets carry the mark; with the rules gone they would leave by main's adapter. On a route without BPF
nft marks them, and their sockets are told by the cgroup that they were made in.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from itertools import chain

from msgspec import Struct

from procroute.engine.lock import Pause
from procroute.engine.words import Tell
from procroute.identity import Identity
from procroute.kernel import sockets

# In seconds. For the peer's goodbye: round trips of a slow line.
_GOODBYE = 2.0
STALLED = 10.0
"""For data that is still to be sent: as long as it moves, and so many seconds where it does not."""
_STEP = 0.01


class Carried(Struct, frozen=True):
    """What tells the sockets of routes: the numbers in their marks, the cgroups (ids) they were made in."""

    numbers: Collection[int]
    cgroups: Collection[int] = ()


class Goodbye:
    """The TCP sockets of routes that nobody holds any more, and how long they are waited for.

    stalled: for how many seconds at most data may stand still.
    """

    def __init__(self, identity: Identity, carried: Carried, stalled: float = STALLED) -> None:
        self._identity = identity
        self._carried = carried
        self._stalled = stalled
        self._since, self._before = time.monotonic(), -1

    def is_said(self) -> bool:
        """Whether they have gone, or have had their time; to be asked again and again."""
        open_ones = [o for o in _orphans(self._identity, self._carried) if o.state != sockets.TIME_WAIT]
        if not open_ones:
            return True
        unsent = sum(o.unsent for o in open_ones if o.sending)
        now = time.monotonic()
        if unsent not in (0, self._before):
            self._since, self._before = now, unsent
        return now - self._since > (self._stalled if unsent else min(self._stalled, _GOODBYE))


def linger(identity: Identity, carried: Carried, pause: Pause, stalled: float = STALLED) -> None:
    """Wait until the goodbye is said. pause: lets so many seconds pass. stalled: as of Goodbye."""
    goodbye = Goodbye(identity, carried, stalled)
    while not goodbye.is_said():
        pause(_STEP)


def end(identity: Identity, carried: Carried, tell: Tell) -> None:
    """End what is left of them. No process may be on these routes: a request not yet accepted counts too.

    tell: says it to people where the kernel cannot. Raises OSError.
    """
    left = [o for o in _orphans(identity, carried) if not sockets.destroy(o)]
    if any(o.state != sockets.TIME_WAIT for o in left):
        tell(
            "connections that are still closing cannot be ended by this kernel, for want of "
            "CONFIG_INET_DIAG_DESTROY: their last packets may leave by the machine's own way"
        )


def _orphans(identity: Identity, carried: Carried) -> Iterator[sockets.InetSocket]:
    mask = identity.number_mask
    marked = (sockets.with_mark(sockets.TCP, identity.mark(n), mask) for n in carried.numbers)
    made_there = (sockets.tcp_of_cgroup(cgroup) for cgroup in carried.cgroups)
    for tcp in chain.from_iterable((*marked, *made_there)):
        if tcp.inode == 0:
            yield tcp
