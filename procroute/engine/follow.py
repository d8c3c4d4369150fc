"""Keep the kernel right while commands run: adapters come and go, gateways fail and answer again."""

from __future__ import annotations

import time
from collections.abc import Callable

from procroute.core.gateways import awaited_gateways, gateways_to_ask
from procroute.core.machine import Observed
from procroute.engine.lock import lock, release_directory
from procroute.engine.reconcile import alive, reconcile, steps
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel.interface import Kernel
from procroute.kernel.monitor import Monitor

# Several messages tell of one thing that happened; look when they have paused, in seconds.
_PAUSE = 0.015
_AT_MOST = 0.08
# How long at most it goes on doing something else while somebody has the lock, in seconds.
_BUSY_AT_MOST = 0.25
# How often a gateway that does not answer is asked again, in seconds.
_ASK = 0.7


class _BusyError(Exception):
    """Somebody else has the lock; the command's signals cannot wait for that."""


def _busy(_: float) -> None:
    raise _BusyError


class Follower:
    """Looks when there is news and does what is missing. route: the number of the one it cares for."""

    def __init__(self, kernel: Kernel, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self.monitor = Monitor()
        self.route = 0
        self._kernel = kernel
        self._tell = tell
        self._clock = clock
        self._since: float | None = None
        self._look: float | None = None
        self._ask: float | None = None
        self._wait = _PAUSE
        self._said: set[str] = set()

    def close(self) -> None:
        """Stop listening."""
        self.monitor.close()

    def timeout(self) -> int | None:
        """Milliseconds until there is something to do; None: nothing until news come."""
        due = [t for t in (self._look, self._ask) if t is not None]
        return max(0, round((min(due) - self._clock()) * 1000) + 1) if due else None

    def work(self) -> None:
        """Take in the news and, when they have paused, look and repair."""
        now = self._clock()
        news = self.monitor.drain()
        self._kernel.heard_failing |= self.monitor.failed
        self.monitor.failed.clear()
        if news:
            self._since = self._since if self._since is not None else now
            self._look = min(now + _PAUSE, self._since + _AT_MOST)
        if self._ask is not None and now >= self._ask:
            self._ask = None
            self._look = now
        if self._look is not None and now >= self._look:
            self._since = self._look = None
            self._repair()

    def _repair(self) -> None:
        kernel, identity = self._kernel, self._kernel.identity
        try:
            observed = self._in_step()
            if observed is None:
                with lock(_busy):
                    observed = reconcile(kernel, identity)
                    release_directory()
            self._said.clear()
            self._wait = _PAUSE
            self._ask_gateway(observed)
        except _BusyError:
            # Who has the lock does what is missing, too; a look costs more than it tells meanwhile.
            self._look = self._clock() + self._wait
            self._wait = min(2 * self._wait, _BUSY_AT_MOST)
        except (ProcrouteError, OSError) as e:
            self._look = self._clock() + 1
            if str(e) not in self._said:
                self._tell(f"the route could not be kept in step: {e}")
                self._said.add(str(e))

    def _in_step(self) -> Observed | None:
        """A look without the lock; None when there is something to do, or others were at work meanwhile."""
        try:
            observed = self._kernel.observe()
        except ProcrouteError:
            return None
        return None if steps(self._kernel.identity, observed, alive(observed)) else observed

    def _ask_gateway(self, observed: Observed) -> None:
        """Have the gateways that the route waits for asked again, and come back to look."""
        live = next((t for t in observed.ours.targets if t.number == self.route), None)
        awaited = awaited_gateways(observed.machine, live) if live else None
        if awaited:
            self._kernel.ask_again(gateways_to_ask(observed.machine, awaited))
            self._ask = self._clock() + _ASK
