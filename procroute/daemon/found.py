"""What cgroups tell of assignments that nobody remembers."""

from __future__ import annotations

import os
from pathlib import Path

from procroute.kernel import in_place
from procroute.protocol import How


def places_in(target: Path) -> list[Path]:
    """The cgroups of assignments in a target: its children, or itself where it is in place."""
    if in_place.is_in_place(target):
        return [target]
    try:
        # Not by Path: of thousands each would be asked what it is.
        with os.scandir(target) as found:
            return [target / name for name in sorted(e.name for e in found if e.is_dir())]
    except FileNotFoundError:  # a user's manager has removed its slice
        return []


def how_of(place: Path, first: int) -> How:
    """How an assignment that nobody remembers came about, by its cgroup's name. first: a process in it."""
    kind, _, rest = place.name.removeprefix("procroute-").removesuffix(".scope").partition("-")
    if kind == "assign":
        return "assign"
    if kind != "run":
        return "unit"
    engine = rest.partition(".")[0]
    has_engine = engine.isdecimal() and int(engine) != first and os.path.exists(f"/proc/{engine}")
    return "embedded" if has_engine else "run"
