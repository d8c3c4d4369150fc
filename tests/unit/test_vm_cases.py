"""tests/vm/cases.py: which cases are tried where time is short."""

from __future__ import annotations

import pytest

from tests.vm.cases import some


@pytest.mark.parametrize(
    ("many", "count", "begin", "chosen"),
    [
        (1, 1, 0.9, [0]),
        (3, 5, 0.5, [0, 1, 2]),
        (10, 1, 0.0, [0]),
        (10, 1, 0.55, [5]),
        (10, 2, 0.5, [5, 0]),
        (12, 3, 0.0, [0, 4, 8]),
        (10, 1, 1.0, [0]),
    ],
)
def test_cases_are_spread(many: int, count: int, begin: float, chosen: list[int]) -> None:
    assert some(range(many), count, begin) == chosen
