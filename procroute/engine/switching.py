"""Watch the ways that routes take: for how long an adapter has been one, and when a route takes another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from procroute.core import failover
from procroute.core.machine import Machine
from procroute.engine.words import Tell
from procroute.identity import Identity
from procroute.kernel import sockets
from procroute.model import Adapter, LiveRoute, Route
from procroute.told import NOTICE, told

Switched = Callable[[LiveRoute, str], None]
Called = Callable[[Route], str]
_PROTOCOLS = (sockets.TCP, sockets.UDP)


class Steadiness:
    """Since when adapters have been ways out without a break, in seconds of the clock that is asked."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def look(self, machine: Machine, routes: Iterable[LiveRoute], now: float) -> frozenset[tuple[int, float]]:
        """Take in how it is now; what Machine.steady says of it."""
        choosing = [live for live in routes if live.route.chooses]
        seen = [(live, a) for live in choosing for a in machine.members(live)]
        unable = {a.ifindex for live, a in seen if not failover.able(machine, live, a)}
        able = {a.ifindex for _, a in seen} - unable
        self._since = {ifindex: self._since.get(ifindex, now) for ifindex in able}
        return frozenset(
            (ifindex, hold)
            for ifindex, since in self._since.items()
            for hold in failover.holds(choosing)
            if now >= since + hold
        )

    def due(self, machine: Machine, routes: Iterable[LiveRoute], now: float) -> float | None:
        """When from now on a route goes back to an earlier adapter, if that stays a way out; None: none does.

        One that should have gone back by now was refused: others see to that it is tried again.
        """
        times = [
            self._since[ifindex] + live.route.hold
            for live in routes
            for ifindex in failover.awaited(machine, live)
            if ifindex in self._since
        ]
        return min((time for time in times if time > now), default=None)


class Switches:
    """Tells of routes that take another way than at the last look; ends connections where that is asked for.

    switched: takes the route, and what happened in words. called: tells what people call a route.
    """

    def __init__(self, identity: Identity, switched: Switched, tell: Tell, called: Called) -> None:
        self._identity = identity
        self._called = called
        self._switched = switched
        self._tell = tell
        self._last: dict[int, LiveRoute] = {}

    def remember(self, routes: Iterable[LiveRoute]) -> None:
        """Take in how routes were left by who cared for them before, ahead of the first look."""
        self._last = {live.number: live for live in routes}

    def look(
        self, machine: Machine, routes: Collection[LiveRoute], before: Collection[LiveRoute] = ()
    ) -> None:
        """Take in how it is now. Raises OSError where connections cannot be ended.

        before: how routes were that are looked at for the first time, as who cared for them left them.
        """
        choosing = {live.number: live for live in routes if live.route.chooses}
        last = {live.number: live for live in before} | self._last
        self._last = choosing
        for number, live in choosing.items():
            old = last.get(number)
            if old is None or old.route != live.route:
                continue
            words = failover.switch_words(machine, old, live, self._called(live.route))
            if words:
                by = machine.adapter_of(live)
                self._tell(told(words, NOTICE, route=live.route.name, adapter=by and by.name))
                self._switched(live, words)
                if (live.route.reset or old.by_main) and not live.by_main:
                    _end(self._identity, live, machine.adapter_of(live))


def _end(identity: Identity, live: LiveRoute, adapter: Adapter | None) -> None:
    """End a route's connections from addresses other than those of its adapter and of this machine's own."""
    own = frozenset(a.interface.ip for a in adapter.addresses) if adapter is not None else frozenset()
    for protocol in _PROTOCOLS:
        for one in sockets.with_mark(protocol, identity.mark(live.number), identity.number_mask):
            if one.remote_port and not one.local.is_loopback and one.local not in own:
                sockets.destroy(one)
