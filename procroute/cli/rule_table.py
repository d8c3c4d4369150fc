"""Route rules as a table for people, and as JSON for programs (docs/json.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from procroute import protocol
from procroute.cli import tables
from procroute.cli.rule_words import VERSION, plain, way, what, whose
from procroute.terminal import printable

_HEADINGS: Final = ("rule", "whose", "who takes it", "way", "finds")


def as_json(reply: protocol.RuleList) -> str:
    """One object: {"version": 1, "rules": [...], "notes": [...], "wrong": …}."""
    told = {
        "version": VERSION,
        "rules": [plain(rule) for rule in reply.rules],
        "notes": reply.notes,
        "wrong": reply.wrong or None,
    }
    return json.dumps(told, indent=2)


def as_table(rules: list[protocol.RuleFacts], columns: int) -> str:
    """For people, file by file. columns: of the terminal that shall show it, or 0."""
    if not rules:
        return "there are no rules"
    table = _table(rules)
    if columns and not tables.fits(table, columns):
        return tables.page(_list(rules), columns=columns)
    return tables.page(table, columns=columns)


def _table(rules: list[protocol.RuleFacts]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    folder = ""
    for rule in rules:
        path = Path(rule.place)
        if str(path.parent) != folder:
            folder = str(path.parent)
            table.add_row(Text(f"{printable(folder)}/", "bold"))
        style = "" if rule.enabled else "dim"
        who = what(rule) + (f"\n{printable(rule.comment)}" if rule.comment else "")
        finds = rule.finds if rule.enabled else "switched off"
        cells = (f"  {printable(path.name)}", whose(rule), who, way(rule), finds)
        table.add_row(*(Text(cell, style) for cell in cells))
    return table


def _list(rules: list[protocol.RuleFacts]) -> Table:
    """A few lines for each, where a table is too wide: the place, and below it what there is to say."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    for rule in rules:
        style = "" if rule.enabled else "dim"
        grid.add_row(Text(printable(rule.place), f"{style} bold".strip(), no_wrap=False, overflow="fold"))
        inner = Table.grid(padding=(0, 2, 0, 0))
        inner.add_column()
        inner.add_column(overflow="fold")
        finds = rule.finds if rule.enabled else "switched off"
        for name, said in (
            ("comment", printable(rule.comment)),
            ("whose", whose(rule)),
            ("who", what(rule)),
            ("way", way(rule)),
            ("finds", finds),
        ):
            if said:
                inner.add_row(Text(f"  {name}", style), Text(said, style))
        grid.add_row(inner)
    return grid
