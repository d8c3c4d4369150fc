"""The routes by which adapters are checked: a strict one each, there as long as its adapter is to be checked.

So a check goes as a routed process's packets would, whatever table main and other people's rules say.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from procroute.checks import Checked
from procroute.core.gateways import WayOut, way_out
from procroute.core.tables import families
from procroute.daemon.routes import Routes
from procroute.engine.lock import lock, patient
from procroute.engine.request import Request
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel.linux import Linux
from procroute.kernel.probes import Path
from procroute.model import Family, IPAddress


class Ready(Struct, frozen=True):
    """How an adapter can be checked now. ifindex: 0: there is none.

    gateways: of each family that has a way out, None: it needs none. missing: why others have none, in
    words. own: the machine's addresses, which answer whatever is behind an adapter. path: None: no check can
    be made, and `why`.
    """

    ifindex: int = 0
    path: Path | None = None
    gateways: Mapping[Family, IPAddress | None] = {}
    missing: Mapping[Family, str] = {}
    own: frozenset[IPAddress] = frozenset()
    why: str = ""


class CheckedRoutes:
    """Takes the lock itself. In the writer's thread."""

    def __init__(self, linux: Linux, routes: Routes, tell: Tell) -> None:
        self._linux = linux
        self._routes = routes
        self._tell = tell
        self._numbers: dict[str, int] = {}

    def ready(self, wanted: Mapping[str, Checked]) -> dict[str, Ready]:
        """Have the routes there for these adapters, and for no others from now on. Raises ProcrouteError."""
        self._numbers = {name: number for name, number in self._numbers.items() if name in wanted}
        wrong = {}
        for name, of_it in wanted.items():
            try:
                with lock(patient(self._tell)):
                    found, _ = self._routes.open(_by(name, of_it))
                self._numbers[name] = found.live.number
            except ProcrouteError as e:
                wrong[name] = e.message
        self._routes.checked = frozenset(self._numbers.values())
        if not wanted:
            return {}
        observed = self._linux.observe()
        machine = observed.machine
        lives = {live.number: live for live in observed.ours.targets}
        own = frozenset(a.interface.ip for adapter in machine.adapters for a in adapter.addresses)
        all_ready = {}
        for name in wanted:
            adapter, live = machine.adapter(name), lives.get(self._numbers.get(name, 0))
            if adapter is None or live is None:
                ifindex = 0 if adapter is None else adapter.ifindex
                why = wrong.get(name, f"there is no adapter {name}")
                all_ready[name] = Ready(ifindex, why=why)
                continue
            ways = {family: way_out(machine, adapter, family, live) for family in families(machine)}
            all_ready[name] = Ready(
                adapter.ifindex,
                Path(adapter.ifindex, self._linux.identity.mark(live.number)),
                {family: way.gateway for family, way in ways.items() if isinstance(way, WayOut)},
                {f: f"{name} has {way.reason}" for f, way in ways.items() if not isinstance(way, WayOut)},
                own,
            )
        return all_ready


def _by(name: str, of_it: Checked) -> Request:
    """The route by which an adapter is checked."""
    return Request((), name, True, of_it.gateway4, of_it.gateway6)
