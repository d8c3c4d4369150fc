"""Keep the kernel right: adapters come and go, gateways fail and answer again, others remove what is ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from msgspec.structs import replace

from procroute.core.gateways import awaited_gateways, gateways_to_ask
from procroute.core.machine import Machine, Observed
from procroute.engine.lock import BusyError, Pause, at_once, lock, release_directory
from procroute.engine.reconcile import alive, steps
from procroute.engine.repair import Outcome, Reporter, Told, repair
from procroute.engine.switching import Called, Steadiness, Switched, Switches
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel.interface import Kernel
from procroute.kernel.monitor import Monitor
from procroute.kernel.witness import Witness
from procroute.model import LiveRoute

# Several messages tell of one thing that happened; look when they have paused, in seconds.
_PAUSE, _AT_MOST = 0.015, 0.04
# Where others changed what is ours, or a route may have to leave its adapter, there is no time to lose.
_PAUSE_IF_URGENT, _AT_MOST_IF_URGENT = 0.004, 0.02
# How long at most it goes on doing something else while somebody has the lock, in seconds.
_BUSY_AT_MOST: Final = 0.25
# How often a gateway that does not answer is asked again, in seconds.
_ASK: Final = 0.7
# When to try again what was refused, in seconds; twice as long each time. News make it try at once.
_AGAIN, _AGAIN_AT_MOST = 0.25, 60.0


class Follower:
    """Looks when there is news and does what is missing.

    told: takes each repair of what others had changed; without it nobody is asked for. pause: lets so many
    seconds pass while somebody has the lock, or raises BusyError to come back later. seen: takes the machine
    as it was at each look. switched: takes each route that leaves by another adapter than before, and why;
    called: tells what people call it.
    route: the number of the one whose gateways it has asked again; None: of every one in use.
    """

    def __init__(
        self,
        kernel: Kernel,
        tell: Tell,
        told: Told | None = None,
        pause: Pause = at_once,
        clock: Callable[[], float] = time.monotonic,
        seen: Callable[[Machine], None] = lambda _: None,
        switched: Switched = lambda *_: None,
        called: Called = lambda route: route.name,
    ) -> None:
        witness = Witness(kernel.identity.protocol) if told is not None else None
        self.monitor = Monitor(kernel.identity.protocol, witness)
        self.route: int | None = None
        self._reporter = Reporter(witness, told, tell) if witness is not None and told is not None else None
        self._kernel = kernel
        self._tell = tell
        self._pause = pause
        self._clock = clock
        self._seen_by = seen
        self._steadiness = Steadiness()
        self._switches = Switches(kernel.identity, switched, tell, called)
        # When the first of the news came that are not looked at; since when it is not as it should be.
        self._since: float | None = None
        self._wrong: float | None = None
        self._look: float | None = None
        self._ask: float | None = None
        self._back: float | None = None
        self._choosing = False
        self._wait = _PAUSE
        self._again = _AGAIN
        self._said: set[str] = set()

    def close(self) -> None:
        """Stop listening."""
        self.monitor.close()

    def remember(self, routes: Iterable[LiveRoute]) -> None:
        """Tell of switches from these on, whoever in this process makes them before the first look."""
        self._switches.remember(routes)

    def timeout(self) -> int | None:
        """Milliseconds until there is something to do; None: nothing until news come."""
        due = [t for t in (self._look, self._ask, self._back) if t is not None]
        return max(0, round((min(due) - self._clock()) * 1000) + 1) if due else None

    def work(self, *, at_once: bool = False) -> None:
        """Take in the news and, when they have paused, look and repair. at_once: look also without news."""
        now = self._clock()
        self._hear(now)
        asking = any(due is not None and now >= due for due in (self._ask, self._back))
        if asking or at_once:
            self._ask = self._back = None
            self._look = now
        if self._look is not None and now >= self._look:
            self._wrong = self._wrong if self._wrong is not None else self._since
            self._since = self._look = None
            self._repair()

    def _hear(self, now: float) -> None:
        if self._news():
            urgent = self._choosing or (self._reporter is not None and self._reporter.suspects)
            pause, at_most = (_PAUSE_IF_URGENT, _AT_MOST_IF_URGENT) if urgent else (_PAUSE, _AT_MOST)
            self._since = self._since if self._since is not None else now
            self._look = min(now + pause, self._since + at_most)
        self._kernel.heard_failing |= self.monitor.failed
        self.monitor.failed.clear()

    def _news(self) -> bool:
        """Whether there is a reason to look. A socket that cannot be read is one: it may have lost some."""
        try:
            return self.monitor.drain()
        except OSError as e:
            self._say(str(e))
            return True

    def _say(self, wrong: str) -> None:
        """Tell what is wrong, once."""
        if wrong not in self._said:
            self._tell(f"the route could not be kept in step: {wrong}")
            self._said.add(wrong)

    def _repair(self) -> None:
        identity = self._kernel.identity
        # What is heard up to here is part of what will be seen.
        heard = self._reporter.heard if self._reporter is not None else 0
        try:
            suspects = self._reporter is not None and self._reporter.suspects
            observed = None if suspects else self._seen()
            before: Collection[LiveRoute] = ()
            if observed is None or steps(identity, observed, alive(observed)):
                with lock(self._pause):
                    after = repair(self._kernel, self._seen_again(observed))
                    release_directory()
                observed = after.observed
                before = after.passes[0].before.targets if after.passes else ()
                if self._reporter is not None and after.passes:
                    now = self._clock()
                    # Who did it may be among what has not been read yet.
                    self._hear(now)
                    took = now - self._wrong if self._wrong is not None else 0
                    self._reporter.repaired(after, took)
                self._done(after)
            else:
                if self._reporter is not None:
                    self._reporter.seen(observed.ours, heard)
                self._done(Outcome(observed))
            self._seen_by(observed.machine)
            self._look_at_ways(observed, before)
            self._wrong = None
            self._wait = _PAUSE
            self._ask_gateways(observed)
        except BusyError:
            # Who has the lock does what is missing, too; a look costs more than it tells meanwhile.
            self._look = self._clock() + self._wait
            self._wait = min(2 * self._wait, _BUSY_AT_MOST)
        except (ProcrouteError, OSError) as e:
            self._say(str(e))
            self._try_again()

    def _done(self, after: Outcome) -> None:
        """Tell how it is now, as far as that is new, and when to look without being told to."""
        if after.failure is None:
            if self._said:
                self._tell("it is as it should be again")
            self._said.clear()
            self._again = _AGAIN
            return
        self._say(after.words)
        if after.hopeful:
            self._try_again()

    def _try_again(self) -> None:
        self._look = self._clock() + self._again
        self._again = min(2 * self._again, _AGAIN_AT_MOST)

    def _seen(self) -> Observed | None:
        """A look without the lock; None when others were at work meanwhile."""
        try:
            observed = self._kernel.observe()
        except ProcrouteError:
            return None
        machine = observed.machine
        steady = self._steadiness.look(machine, self._cared_for(observed), self._clock())
        self._kernel.tell(steady=steady)
        return (
            replace(observed, machine=replace(machine, steady=steady))
            if steady != machine.steady
            else observed
        )

    def _look_at_ways(self, observed: Observed, before: Collection[LiveRoute]) -> None:
        """Tell which routes leave by another adapter than before; come back when one may go back.

        before: the routes as they were before what has just been repaired.
        """
        machine, routes, now = observed.machine, self._cared_for(observed), self._clock()
        self._choosing = any(live.route.chooses for live in routes)
        self._switches.look(machine, routes, before)
        # A look at what others broke was taken without asking since when adapters are ways out.
        steady = self._steadiness.look(machine, routes, now)
        self._kernel.tell(steady=steady)
        self._back = now if steady - machine.steady else self._steadiness.due(machine, routes, now)

    def _cared_for(self, observed: Observed) -> list[LiveRoute]:
        """Those whose gateways and adapters are watched."""
        return [t for t in alive(observed) if self.route in (None, t.number)]

    def _seen_again(self, before: Observed | None) -> Observed:
        """A look with the lock. What others did to the machine since `before` is news, and looked at then.

        Where they made or removed a route the rest is looked at, too: which gateways are asked about hangs
        on the routes.
        """
        if before is None:
            return self._kernel.observe()
        now = self._kernel.observe(before.machine)
        return now if now.ours.targets == before.ours.targets else self._kernel.observe()

    def _ask_gateways(self, observed: Observed) -> None:
        """Have the gateways that routes wait for asked again, and come back to look."""
        cared_for = self._cared_for(observed)
        awaited = frozenset().union(*(awaited_gateways(observed.machine, live) for live in cared_for))
        if awaited:
            self._kernel.ask_again(gateways_to_ask(observed.machine, awaited))
            self._ask = self._clock() + _ASK
