"""What is carried, while somebody watches: by adapters and routes as they are counted anyway, by assignments
as meters count that are there only then (docs/decisions/0012)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from procroute import protocol
from procroute.engine import carried
from procroute.engine.words import Tell
from procroute.errors import ProcrouteError
from procroute.kernel.linux import Linux
from procroute.kernel.meters import Meters, meters
from procroute.protocol import Carried


class Traffic:
    """Used from one thread. linux: gives the kernel as that thread sees it."""

    def __init__(self, linux: Callable[[], Linux], tell: Tell) -> None:
        self._linux = linux
        self._tell = tell
        self._meters: Meters | None = None
        self._begun = False
        self._known: set[int] = set()

    def begin(self, assignments: Mapping[str, int]) -> None:
        """Somebody watches: count for these. assignments: cgroup, from the mount point, to id."""
        if not self._begun:
            self._begun = True
            self._meters = meters()
        self.assign(assignments)

    def assign(self, assignments: Mapping[str, int]) -> None:
        """The assignments that there are now; while nobody watches that is nothing to us."""
        if self._meters is None:
            return
        places = {number: cgroup for cgroup, number in assignments.items()}
        for number in self._known - places.keys():
            self._meters.drop(number)
        for number in sorted(places.keys() - self._known):
            self._add(self._meters, number, self._linux().mount / places[number].lstrip("/"))
        self._known = set(places)

    def end(self) -> None:
        """Nobody watches any more."""
        if self._meters is not None:
            self._meters.close()
        self._meters = None
        self._begun = False
        self._known.clear()

    def totals(self) -> protocol.Traffic:
        """So much by now. Raises OSError and ProcrouteError."""
        linux = self._linux()
        by_assignments = {} if self._meters is None else self._meters.read()
        return protocol.Traffic(
            at=time.time(),
            adapters=carried.by_adapters(linux),
            routes=carried.by_routes(linux),
            assignments=[
                Carried(id=number, received=into, sent=out) for number, (into, out) in by_assignments.items()
            ],
        )

    def _add(self, counting: Meters, number: int, path: Path) -> None:
        try:
            counting.add(number, path)
        except FileNotFoundError:
            pass  # it has just ended
        except (OSError, ProcrouteError) as e:
            self._tell(f"what assignment {number} carries cannot be counted: {e}")
