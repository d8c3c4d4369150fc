"""Living processes are listed by route, and not all of thousands."""

from __future__ import annotations

import os

import pytest

from procroute.engine.alive import listed
from procroute.engine.words import describe


@pytest.mark.promise("CLEAN-04")
def test_each_route_has_a_line() -> None:
    me = describe(os.getpid())
    assert listed([("wan1", [os.getpid()]), ("wan2", [])]) == f"1 routed process is alive\n  wan1: {me}"
    both = [("wan1", [os.getpid()]), ("wan2", [os.getpid()]), ("wan1", [0])]
    outside = describe(0)
    assert listed(both) == f"3 routed processes are alive\n  wan1: {me}, {outside}\n  wan2: {me}"


@pytest.mark.promise("CLEAN-04")
@pytest.mark.parametrize(("count", "more"), [(10, ""), (11, " and 1 more"), (2000, " and 1990 more")])
def test_of_many_ten_are_named(count: int, more: str) -> None:
    first, line = listed([("wan1", [0] * count)]).splitlines()
    assert first == f"{count} routed processes are alive"
    assert line == "  wan1: " + ", ".join([describe(0)] * 10) + more
