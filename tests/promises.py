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
from rich.table import Table

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
    """Print id, promise and tests; the ids that a test should hold and none does."""
    tests = tests_by_promise(items)
    table = Table("id", "families", "promise", "held by", box=None, pad_edge=False, header_style="bold")
    missing = []
    for promise in read().values():
        cases = tests.get(promise.id, {})
        lines = [f"{test} × {count}" if count > 1 else test for test, count in cases.items()]
        if promise.held_by != "test":
            lines.append(promise.held_by)
        if not lines:
            missing.append(promise.id)
        holders = "\n".join(lines) or "[red]nothing[/]"
        table.add_row(f"[cyan]{promise.id}[/]", promise.families, promise.text, holders)
    console.print(table)
    return missing
