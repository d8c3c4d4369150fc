"""A world in which a user-space tunnel may be over a route: it comes, changes its way, starts anew and ends.

Somebody speaks into it without a pause. Its program is named by `over_exe`, so it is on the route from its
first packet on. Each time it starts it has another server, so that a packet says what was true when it began.
"""

from __future__ import annotations

import contextlib
import subprocess
from typing import Final

from procroute.lab.commands import Process
from tests.netns.ruled import PROGRAMS, script
from tests.netns.running import until
from tests.netns.traffic import FAMILIES
from tests.netns.tunnelling import DEVICE, END, OWN, PORT
from tests.soak.people import Route
from tests.soak.phases import Phase
from tests.soak.ruled import Ruled

_PROGRAM: Final = f"{PROGRAMS}/tunnel"
_UP: Final = f"link set {DEVICE} up\naddress add {OWN[4]} peer 10.77.0.1 dev {DEVICE}\n"


class Tunnelled(Ruled):
    """over: the route that outer packets take; None: the tunnel is not there."""

    over: Route | None = None
    _phase: Phase
    _pid = 0

    def prepare(self) -> None:
        """Before anything else is done."""
        self._speaking: list[Process] = []
        super().prepare()
        script(self.lab, _PROGRAM)

    def more_configured(self) -> str:
        """The tunnel."""
        if self.over is None:
            return ""
        return f'[adapter.{DEVICE}]\nover = "{self.over.via}"\nover_exe = "{_PROGRAM}"\n'

    def put_tunnel(self, way: Route, family: int) -> None:
        """It starts by a route, or another one than before. family: the outer one."""
        self._hang_up()
        self.over = way
        self.configure()
        self.procroute("reload")
        self._dial(family)

    def move_tunnel(self, way: Route) -> None:
        """Its route is another one, while it goes on. It leaves by none but the old and the new one."""
        self.over = way
        self._phase.widen(way.adapters)
        self.configure()
        self.procroute("reload")

    def drop_tunnel(self) -> None:
        """There is none any more, nor a word of it."""
        self._hang_up()
        self.over = None
        self.configure()
        self.procroute("reload")

    def _dial(self, family: int) -> None:
        assert self.over
        self._phase = self.phases.begin(DEVICE, dict.fromkeys(FAMILIES, self.over.adapters))
        pipe = subprocess.PIPE
        words = [_PROGRAM, *END, DEVICE, "client", self._phase.to[family], str(PORT)]
        process = self.lab.popen(words, stdin=pipe, stdout=pipe)
        self._speaking.append(process)
        self._stack.callback(self._hang_up)
        assert process.stdout
        assert process.stdout.readline() == "ready\n", self.log()
        self.lab.batch(_UP)
        self._pid = int(self.lab.run(["pgrep", "-f", f"tunnel_end.py {DEVICE}"]).stdout.split()[-1])
        inner = ["ping", "-q", "-i", "0.05", "-I", DEVICE, "10.77.0.1"]
        self._speaking.append(self.lab.popen(inner, stdout=subprocess.DEVNULL))

    def _hang_up(self) -> None:
        for process in reversed(self._speaking):
            if process.stdin is None:
                process.kill_session()
                process.wait(20)
            else:
                process.communicate(timeout=20)
        self._speaking.clear()

    def routed(self) -> dict[int, Route]:
        """With who speaks for the tunnel."""
        mine = {self._pid: self.over} if self._speaking and self.over else {}
        return super().routed() | mine

    def more_wrong(self) -> list[str]:
        """Outer packets leave by its route while that has a way, soon after it has one again."""
        if not self._speaking or self.over is None or self.stale:
            return []
        ways = self.ways(self.over)
        hurt = {adapter for adapter, _ in self.bare | self.off_main} | self.down
        if len(ways) > 1 or ways & hurt:
            return []
        uplink = self.uplink(next(iter(ways)))

        def sent() -> int:
            return sum(len(uplink.packets(destination=to)) for to in self._phase.to.values())

        before = sent()
        with contextlib.suppress(AssertionError):
            until(lambda: sent() > before, 10)
            self.tally.checks["outer packets"] += 1
            return []
        return [f"the tunnel over {self.over.via} sends nothing by {uplink.adapter}{self.log()}"]

    def finish(self) -> dict[str, tuple[str, str]]:
        """As every world's, and there is no tunnel."""
        if self.over is not None:
            if self.daemon is None:
                self.start_daemon()
            self.drop_tunnel()
        return super().finish()
