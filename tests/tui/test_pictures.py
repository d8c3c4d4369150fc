"""The main screen at three sizes, and each dialog, as pictures that are kept beside this file.

Where they are meant to be others: PROCROUTE_PICTURES=write python -m pytest tests/tui/test_pictures.py
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from procroute_tui.picture import plain
from procroute_tui.screens import rules
from procroute_tui.settings import Settings
from procroute_tui.widgets import pane
from tests.tui.driving import Driver
from tests.tui.fake_daemon import NOW, RULES, FakeDaemon, application, traffic

PICTURES = Path(__file__).with_name("pictures")


async def picture(columns: int, rows: int, keys: list[str], theme: str) -> str:
    daemon = FakeDaemon()
    for second in range(16):
        daemon.tell(traffic(NOW + second, second))
    app = application(daemon, Settings(theme=theme))
    async with app.run_test(size=(columns, rows)) as pilot:
        on = Driver(app, daemon, pilot)
        await on.until(lambda: app.machine.adapters and app.machine.sockets, "the first facts")
        await on.until(lambda: len(app.machine.rates.history["wan1"]) == 15, "the rates")
        await on.press(*keys)
        if keys[-1:] == ["enter"] and not {"l", "b"} & {*keys}:
            await on.until(lambda: app.pane.asked and app.pane.asked.explained, "the details")
        for key, seen in (("b", "10-lines.toml:3"), ("R", "[[rule]]"), ("w", "holds")):
            if key in keys and keys[-1] not in {"1", "x"}:
                await on.see(seen)
        await pilot.pause(0.3)
        return plain(app.export_screenshot(title="procroute tui"))


@pytest.mark.promise("VIEW-01")
@pytest.mark.parametrize(
    ("name", "columns", "rows", "keys", "theme"),
    [
        ("main-80x24", 80, 24, [], "procroute-dark"),
        ("main-120x36", 120, 36, ["down", "down"], "procroute-dark"),
        ("main-200x50", 200, 50, ["t"], "procroute-dark"),
        ("details-80x24", 80, 24, ["down", "down", "enter"], "procroute-dark"),
        ("details-160x48", 160, 48, ["down", "down", "enter"], "procroute-light"),
        ("light-80x24", 80, 24, ["t", "t"], "procroute-light"),
        ("assign-80x24", 80, 24, ["down", "a", "s"], "procroute-dark"),
        ("assign-light-80x24", 80, 24, ["a", "tab"], "procroute-light"),
        ("release-80x24", 80, 24, ["r"], "procroute-light"),
        ("launch-80x24", 80, 24, ["l"], "procroute-dark"),
        ("launch-light-80x24", 80, 24, ["l", *"echo", "space", "quotation_mark", "enter"], "procroute-light"),
        ("columns-80x24", 80, 24, ["c"], "procroute-dark"),
        ("columns-light-80x24", 80, 24, ["c", "space", "down"], "procroute-light"),
        ("rules-80x24", 80, 24, ["b"], "procroute-dark"),
        ("rules-120x36", 120, 36, ["b", "down", "down"], "procroute-light"),
        ("rules-160x48", 160, 48, ["b", "down", "enter"], "procroute-dark"),
        ("rules-light-80x24", 80, 24, ["b", "end", "enter"], "procroute-light"),
        ("rule-80x24", 80, 24, ["down", "down", "R"], "procroute-dark"),
        ("rule-120x36", 120, 36, ["down", "down", "R", "2", "s", "c", *"hi", "tab"], "procroute-light"),
        ("rule-160x48", 160, 48, ["R", "1"], "procroute-dark"),
        ("remove-rule-80x24", 80, 24, ["b", "down", "x"], "procroute-dark"),
        ("apply-rules-80x24", 80, 24, ["b", "a", "x"], "procroute-light"),
        ("why-80x24", 80, 24, ["w"], "procroute-light"),
        ("why-120x36", 120, 36, ["w"], "procroute-dark"),
        ("why-160x48", 160, 48, ["w"], "procroute-light"),
        ("help-80x24", 80, 24, ["question_mark"], "procroute-light"),
        ("help-120x36", 120, 36, ["question_mark"], "procroute-dark"),
    ],
)
def test_it_looks_as_it_did(
    name: str, columns: int, rows: int, keys: list[str], theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pane, "now", lambda: NOW)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(rules, "doubts_of", lambda _: {RULES[0].place: ("there is no such program now",)})
    svg = asyncio.run(picture(columns, rows, keys, theme))
    path = PICTURES / f"{name}.svg"
    if os.environ.get("PROCROUTE_PICTURES") == "write":
        PICTURES.mkdir(exist_ok=True)
        path.write_text(svg, encoding="utf-8")
    assert "http" not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert svg == path.read_text(encoding="utf-8"), f"{name} looks otherwise; see the head of this file"
