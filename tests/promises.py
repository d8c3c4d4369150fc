"""docs/promises.md as data, and the list of who holds what: `make promises`.

@pytest.mark.promise("PATH-01", "PATH-08")
def test_tcp_leaves_by_the_adapter(...) -> None: ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PAGE = Path(__file__).parent.parent / "docs" / "promises.md"

_ROW = re.compile(r"^\| ([A-Z]+-\d\d) \| (.+?) \| (both|IPv4|IPv6|–) \| (.+?) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of docs/promises.md. held_by: `test`, or the command or person that looks after it."""

    id: str
    text: str
    families: str
    held_by: str


def read(page: Path = PAGE) -> dict[str, Promise]:
    """Every promise by its id, in the page's order. ValueError when an id stands there twice."""
    promises: dict[str, Promise] = {}
    for row in _ROW.findall(page.read_text(encoding="utf-8")):
        promise = Promise(*row)
        if promise.id in promises:
            raise ValueError(f"{page.name}: {promise.id} stands there twice")
        promises[promise.id] = promise
    return promises


def named(item: pytest.Item) -> Iterator[str]:
    """The ids that a test names in its promise markers."""
    for marker in item.iter_markers("promise"):
        yield from marker.args


def unknown(items: Iterable[pytest.Item], promises: Mapping[str, Promise]) -> list[str]:
    """One sentence for each test that names a promise which the page does not know."""
    return [
        f"{item.nodeid} names {promise}, which docs/promises.md does not know"
        for item in items
        for promise in named(item)
        if promise not in promises
    ]


def tests_by_promise(items: Iterable[pytest.Item]) -> dict[str, dict[str, int]]:
    """Promise id to its tests, each with the number of its parametrised cases."""
    found: dict[str, dict[str, int]] = {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        for promise in named(item):
            cases = found.setdefault(promise, {})
            cases[test] = cases.get(test, 0) + 1
    return found


def show(items: Iterable[pytest.Item], console: Console) -> list[str]:
    """Print ids, promises and tests, as wide as the console is; returns the ids that nothing holds."""
    tests = tests_by_promise(items)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    missing = []
    for promise in read().values():
        lines = _by_file(tests.get(promise.id, {}))
        if promise.held_by != "test":
            lines.append(promise.held_by)
        if not lines:
            missing.append(promise.id)
            lines.append("nothing holds it")
        families = "" if promise.families == "–" else f" ({promise.families})"
        table.add_row(promise.id, Text(promise.text + families, "bold"))
        for line in lines:
            table.add_row("", Padding(Text(line.lstrip()), (0, 0, 0, len(line) - len(line.lstrip()))))
    console.print(table)
    return missing


def _by_file(cases: Mapping[str, int]) -> list[str]:
    """Each file's name and, indented, its tests."""
    lines: list[str] = []
    for test, count in cases.items():
        file, _, name = test.partition("::")
        if file not in lines:
            lines.append(file)
        lines.append(f"  {name} × {count}" if count > 1 else f"  {name}")
    return lines
