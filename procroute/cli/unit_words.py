"""What `unit` says of wrapped units: changes as a diff, rows as a table, both as JSON (docs/json.md)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from procroute.cli import tables
from procroute.engine.wrapping import Changes, Row
from procroute.terminal import printable

VERSION: Final = 1
_NOWHERE: Final = "/dev/null"
_COLOURS: Final = {"routed": "green", "restart it": "yellow", "another slice": "red"}


def diff(changes: Changes) -> Iterator[str]:
    """Each file as diff(1) shows it (-u)."""
    for change in changes.files:
        before, after = ((text or "").splitlines() for text in (change.before, change.after))
        old, new = (_NOWHERE if text is None else str(change.path) for text in (change.before, change.after))
        yield from (printable(line) for line in difflib.unified_diff(before, after, old, new, lineterm=""))


def changes_as_json(changes: Changes, *, written: bool) -> str:
    """written: they were made; else they would be."""
    plain = {
        "version": VERSION,
        "unit": changes.unit,
        "written": written,
        "files": [{"path": str(one.path), "before": one.before, "after": one.after} for one in changes.files],
        "notes": list(changes.notes),
    }
    return json.dumps(plain, indent=2)


def rows_as_json(rows: Sequence[Row]) -> str:
    """One object for all units."""
    units = [
        {"unit": row.unit, "route": row.route, "slice": row.slice, "state": row.state, "now": row.now}
        for row in rows
    ]
    return json.dumps({"version": VERSION, "units": units}, indent=2)


def rows_as_table(rows: Sequence[Row], columns: int) -> str:
    """For people."""
    if not rows:
        return "no unit is wrapped"
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("unit", "route", "state", "now"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        now = Text(row.now, style=_COLOURS.get(row.now, ""))
        table.add_row(printable(row.unit), printable(row.route), row.state, now)
    return tables.page(table, columns=columns)
