"""Clicks, and a cursor that stays on its process."""

from __future__ import annotations

import time

import pytest
from textual.geometry import Offset

from procroute import protocol
from procroute_tui.widgets.heading import Heading
from procroute_tui.widgets.table import Table
from tests.tui.driving import Driver, driven
from tests.tui.fake_daemon import NOW, running


@driven()
async def test_clicks_choose_mark_open_and_sort(on: Driver) -> None:
    await on.pilot.click(Table, offset=Offset(20, 2))
    assert on.app.table.cursor == 2101
    await on.pilot.click(Table, offset=Offset(0, 1))
    assert on.app.table.marked == {3001}
    await on.pilot.click(Table, offset=Offset(20, 2), times=2)
    await on.see("firefox · 2101")
    await on.pilot.click(Heading, offset=Offset(8, 0))
    await on.see("by pid▲")
    await on.pilot.click(Heading, offset=Offset(8, 0))
    await on.see("by pid▼")


@driven()
async def test_the_cursor_stays_on_its_process(on: Driver) -> None:
    await on.press("down", "down", "down")
    chosen = on.app.table.cursor
    on.daemon.tell(protocol.Processes(at=NOW, now=[running(n, 1, "aaa", on=5) for n in range(9000, 9040)]))
    await on.until(lambda: on.app.table.at == 43)
    assert on.app.table.cursor == chosen
    on.daemon.tell(protocol.Processes(at=NOW, gone=[chosen if isinstance(chosen, int) else 0]))
    await on.until(lambda: on.app.table.cursor != chosen)
    assert on.app.table.at == 43


@driven()
async def test_the_cursor_stays_on_a_process_that_was_acted_on(on: Driver) -> None:
    """Though it was never moved: a second key means the same process, wherever the first has put that."""
    chosen = on.app.table.cursor
    await on.press("r")
    await on.press("escape")
    on.daemon.tell(protocol.Processes(at=NOW, now=[running(n, 1, "aaa", on=5) for n in range(9000, 9040)]))
    await on.until(lambda: on.app.table.at == 40)
    assert on.app.table.cursor == chosen


@driven()
async def test_moving_far(on: Driver) -> None:
    await on.press("end")
    assert on.app.table.at == 18
    await on.press("pageup")
    assert 0 < on.app.table.at < 18
    await on.press("g")
    assert on.app.table.at == 0
    await on.press("G", "k", "j", "home")
    assert on.app.table.at == 0


@pytest.mark.promise("VIEW-05")
@driven(160, 48)
async def test_keys_with_five_thousand_processes(on: Driver) -> None:
    """Processor time from the key to all that it draws; Textual's own pauses are not in it."""
    many = [running(n, n // 3, f"n{n % 97}", unit=f"u{n % 40}") for n in range(3, 5003)]
    on.daemon.tell(protocol.Watching(assignments=[], processes=many))
    await on.see("5000 processes")
    took = {}
    for key in ("down", "end", "t", "i", "slash", "n", "4", "escape"):
        began = time.process_time()
        await on.press(key)
        took[key] = time.process_time() - began
    assert sorted(took.values())[len(took) // 2] < 0.05, took
