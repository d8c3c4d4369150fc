"""The table of docs/dns.md as data: which look-ups of whom follow a route; test_dns_matrix.py fills it.

Each test that fills cells notes them as properties of its report; they are printed once all tests are done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = Path(__file__).parent.parent / "docs" / "dns.md"
VERBS: Final = ("run", "run by a user", "assign", "rule by program", "rule by user", "unit in place")
FOLLOWED, NOT_FOLLOWED, ASTRAY = "followed", "not followed", "ASTRAY"
_NOTE: Final = "dns cell "
_ROW: Final = re.compile(r"^\| (\S.*?) \| (.+) \|$", re.MULTILINE)


def read(page: Path = PAGE) -> dict[str, dict[str, str]]:
    """Row -> verb -> cell, as the page has it. ValueError where it has no such table."""
    rows = {
        name: [cell.strip() for cell in cells.split("|")] for name, cells in _ROW.findall(page.read_text())
    }
    heads = [name for name, cells in rows.items() if tuple(cells) == VERBS]
    if not heads:
        raise ValueError(f"{page.name} has no table of {VERBS}")
    return {
        name: dict(zip(VERBS, cells, strict=True))
        for name, cells in rows.items()
        if name not in heads and len(cells) == len(VERBS) and not set(cells[0]) <= {"-"}
    }


def note(request: pytest.FixtureRequest, row: str, verb: str, where: str, cell: str) -> None:
    """Keep a cell for the table. where: on which machine it was found."""
    request.node.user_properties.append((f"{_NOTE}{row}|{verb}|{where}", cell.partition(":")[0]))


def found(reports: Iterable[pytest.TestReport]) -> dict[str, dict[str, dict[str, str]]]:
    """Row -> verb -> machine -> cell."""
    cells: dict[str, dict[str, dict[str, str]]] = {}
    for report in reports:
        for key, cell in report.user_properties:
            if key.startswith(_NOTE):
                row, verb, where = key.removeprefix(_NOTE).split("|")
                cells.setdefault(row, {}).setdefault(verb, {})[where] = str(cell)
    return cells


def table(cells: Mapping[str, Mapping[str, Mapping[str, str]]]) -> list[str]:
    """Lines for people: a row for each way; where machines differ, each of them."""
    width = max(map(len, cells), default=0)
    lines = [" | ".join([" " * width, *(verb.ljust(15) for verb in VERBS)])]
    for row, verbs in cells.items():
        shown = [_shown(verbs.get(verb, {})).ljust(15) for verb in VERBS]
        lines.append(" | ".join([row.ljust(width), *shown]))
    return lines


def _shown(of: Mapping[str, str]) -> str:
    """One cell of all machines."""
    if len({*of.values()}) == 1:
        return f"{next(iter(of.values()))} ×{len(of)}"
    return ", ".join(f"{where}: {cell}" for where, cell in of.items()) or "–"
