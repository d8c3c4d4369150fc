"""A plugin of pytest for where time is short: of each test function so many cases, spread over all it has.

python -m pytest -p tests.vm.cases --cases 1 --cases-from 0.5 tests/netns
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

_T = TypeVar("_T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    parser.addoption("--cases", type=int, default=0, help="so many cases of each test function; 0: all")
    parser.addoption(
        "--cases-from", type=float, default=0.0, help="from 0 to 1: how far into a function's cases to begin"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the others out."""
    count = config.getoption("--cases")
    if not count:
        return
    by_function: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_function.setdefault(item.nodeid.partition("[")[0], []).append(item)
    begin = config.getoption("--cases-from")
    chosen = {item for cases in by_function.values() for item in some(cases, count, begin)}
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def some(cases: Sequence[_T], count: int, begin: float) -> list[_T]:
    """So many of them, evenly spread; the first one so far into them. All where there are no more."""
    if count >= len(cases):
        return list(cases)
    return [cases[int((begin + at / count) * len(cases)) % len(cases)] for at in range(count)]
