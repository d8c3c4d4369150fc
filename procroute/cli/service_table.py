"""How the service is, as a table and for programs."""

from __future__ import annotations

from typing import Any, Final

from rich.table import Table
from rich.text import Text

from procroute.cli import tables
from procroute.engine.service import Status
from procroute.engine.wrapped_units import WrappedUnit
from procroute.terminal import printable

VERSION: Final = 1
_GOOD: Final = {"as shipped", "enabled", "active"}


def well(found: Status) -> bool:
    """Whether all is in place and runs."""
    return not found.distrusted and all(word in _GOOD for _, *words in _rows(found) for word in words)


def plain(found: Status) -> dict[str, Any]:
    """For programs (docs/json.md)."""
    return {
        "version": VERSION,
        "files": [{"path": str(file.path), "state": file.state} for file in found.files],
        "units": {unit: {"enabled": on, "active": now} for unit, (on, now) in found.units.items()},
        "distrusted": found.distrusted,
        "wrapped": [{"unit": one.unit, "user": one.user} for one in found.wrapped],
    }


def named(one: WrappedUnit) -> str:
    """A wrapped unit, and whose it is."""
    return f"{one.unit} of {one.user}" if one.user else one.unit


def table(found: Status, columns: int) -> str:
    """For people."""
    drawn = Table(box=None, show_header=False, pad_edge=False)
    for name, *words in _rows(found):
        said = [Text(word or "unknown", style="green" if word in _GOOD else "yellow") for word in words]
        drawn.add_row(name, Text(", ").join(said))
    for problem in found.distrusted:
        drawn.add_row("others can change", Text(problem, style="red"))
    for one in found.wrapped:
        drawn.add_row("wrapped", printable(named(one)))
    return tables.page(drawn, columns=columns)


def _rows(found: Status) -> list[tuple[str, ...]]:
    return [
        *((str(file.path), file.state) for file in found.files),
        *((unit, *words) for unit, words in found.units.items()),
    ]
