"""How runs have ended whose end somebody waits for: with what status, and whether they made a connection.

Only who waits gets to know: of all others nothing is kept.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from procroute.daemon.leavers import Leavers
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel import cgroups
from procroute.kernel.made import Made
from procroute.kernel.pinned import Known
from procroute.protocol import Ending


class _Awaited(Struct, frozen=True):
    """ids: of the cgroups of an assignment, which go before it is asked for. made: of its target."""

    ids: frozenset[int]
    made: Made


class Endings:
    """Used from one thread."""

    def __init__(self, leavers: Leavers, tell: Tell) -> None:
        self._leavers = leavers
        self._tell = tell
        self._awaited: dict[int, _Awaited] = {}

    def expect(self, number: int, path: Path, first: Known) -> None:
        """Note how an assignment will end. path: its cgroup; first: the process whose status counts.

        Where that cannot be noted it is not known in the end.
        """
        try:
            made = Made(path.parent)
        except (ProcrouteError, OSError) as e:
            self._tell(f"how assignment {number} ends will not be known: {e}")
            return
        self._awaited[number] = _Awaited(cgroups.ids(path), made)
        self._leavers.expect(number, first)

    def of(self, number: int, path: Path) -> Ending | None:
        """How it has ended, once: to be asked when it has, and before it is forgotten. None: nobody asked."""
        awaited = self._awaited.pop(number, None)
        if awaited is None:
            return None
        with awaited.made:
            try:
                made = awaited.made.ids()
            except OSError:
                made = None
        sockets = None if made is None else bool(made & (awaited.ids | cgroups.ids(path)))
        return Ending(status=self._leavers.status(number), sockets=sockets)

    def close(self) -> None:
        """Nobody is told any more."""
        for awaited in self._awaited.values():
            awaited.made.close()
        self._awaited.clear()
