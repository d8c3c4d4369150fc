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
    return tables.page(table, columns=columns)
