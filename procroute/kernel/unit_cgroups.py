"""The cgroup of a systemd unit, found by its name in the tree: by that its packets are marked."""

from __future__ import annotations

import os
from pathlib import Path

from procroute.core.unit_names import completed
from procroute.errors import ProcrouteError
from procroute.terminal import printable


def of_unit(mount: Path, unit: str) -> Path:
    """Where a unit's processes are. unit: its name; without an ending a service is meant.

    Raises ProcrouteError unit-unknown, also where several managers have one of that name.
    """
    name = completed(unit)
    if not unit or "/" in name or not name.isprintable():
        raise ProcrouteError(
            "unit-unknown", f"{printable(unit)!r} is no name of a unit", "systemctl lists them; or give a PID"
        )
    places = [Path(folder) / name for folder, below, _ in os.walk(mount) if name in below]
    if not places:
        raise ProcrouteError(
            "unit-unknown",
            f"no unit {name} has a cgroup here",
            "systemctl status says whether it runs; a process is given by its PID",
        )
    if len(places) > 1:
        where = ", ".join(f"/{place.relative_to(mount)}" for place in sorted(places))
        raise ProcrouteError(
            "unit-unknown", f"several units are called {name}: {where}", "give a PID instead"
        )
    return places[0]
