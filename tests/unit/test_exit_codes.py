"""docs/exit-codes.md and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procroute.errors import Exit

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"


@pytest.mark.promise("ERR-09")
def test_page_lists_every_code_once() -> None:
    rows = re.findall(r"^\| (\d+)(?: \+ n)? \| ([A-Z_]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    written = [(name, int(code)) for code, name in rows]
    assert written == [(name, code) for name, code in vars(Exit).items() if name.isupper()]
