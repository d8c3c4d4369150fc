"""What cgroups tell of assignments that nobody remembers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from procroute.kernel import cgroups, in_place
from procroute.protocol import How


def unknown_in(target: Path, name: str, known: Callable[[str], object]) -> list[Path]:
    """The places for assignments in a target that are none's yet: its children, or itself in place.

    name: the target's from the mount point; known: tells the assignment of a cgroup by its name, or None.
    """
    if in_place.is_in_place(target):
        return [] if known(name) else [target]
    # By their names: making paths of thousands takes longer than all the rest.
    return [target / child for child in cgroups.children(target) if known(f"{name}/{child}") is None]


def how_of(place: Path, first: int) -> How:
    """How an assignment that nobody remembers came about, by its cgroup's name. first: a process in it."""
    kind, _, rest = place.name.removeprefix("procroute-").removesuffix(".scope").partition("-")
    if kind == "assign":
        return "assign"
    if kind == "rule":
        return "rule"
    if kind != "run":
        return "unit"
    engine = rest.partition(".")[0]
    has_engine = engine.isdecimal() and int(engine) != first and os.path.exists(f"/proc/{engine}")
    return "embedded" if has_engine else "run"
