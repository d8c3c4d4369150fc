"""Routes of who was started in their slices: systemd makes the slice, and what is in it shall be routed."""

from __future__ import annotations

from procroute.core.access import Peer
from procroute.daemon.placing import Placing
from procroute.daemon.register import Register
from procroute.daemon.routes import Routes, leaves_by
from procroute.engine.lock import lock, patient
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel.linux import Linux
from procroute.protocol import Open, Opened


class Slices:
    """Takes the lock itself."""

    def __init__(
        self, linux: Linux, routes: Routes, register: Register, placing: Placing, tell: Tell
    ) -> None:
        self._linux = linux
        self._routes = routes
        self._register = register
        self._placing = placing
        self._tell = tell

    def open(self, peer: Peer, asked: Open) -> Opened:
        """Have the route there in whose slice the asker is, as long as he is; its adapters need not be there.

        Raises ProcrouteError slice-other where he is in another one, and what a route may be refused for.
        """
        with lock(patient(self._tell)):
            found, notes = self._placing.opened(peer, asked.route, absent=True)
            target = self._routes.target(found, peer.uid)
            name = self._register.cgroup(target)
            own = self._linux.cgroup_mount.of(peer.pid)
            if not own.startswith(f"{name}/"):
                raise ProcrouteError(
                    "slice-other",
                    f"the slice of {found.live.route.name} is {name}, not {own}",
                    "procroute unit wrap writes what fits",
                )
            # So its end is heard of, in a user's tree, too.
            self._register.take_in()
        return Opened(route=found.live.route.name, adapter=leaves_by(found.live), notes=notes)
