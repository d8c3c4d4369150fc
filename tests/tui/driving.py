"""Drives the application as a person does, without a terminal.

@driven(80, 24)
async def test_something(on: Driver) -> None:
    await on.press("a")
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from textual import events
from textual.pilot import Pilot

from procroute_tui.app import Tui
from procroute_tui.model.columns import Column
from tests.tui.fake_daemon import FakeDaemon, application

_NAMED: Final = {
    "backspace": "\x7f", "down": None, "end": None, "enter": "\r", "escape": "\x1b", "home": None,
    "left": None, "question_mark": "?", "slash": "/", "space": " ",
}  # fmt: skip
"""Keys with a name, and the character that each has."""


class Driver:
    """A running application, its daemon, and what is on its screen."""

    def __init__(self, app: Tui, daemon: FakeDaemon, pilot: Pilot[Any]) -> None:
        self.app, self.daemon, self.pilot = app, daemon, pilot

    async def press(self, *keys: str) -> None:
        """Keys, and what comes of them."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def burst(self, *keys: str) -> None:
        """Keys as a terminal tells what was typed ahead: all at once. A word is typed letter by letter."""
        for key in keys:
            for letter in key if key not in _NAMED else [key]:
                self.app.post_message(events.Key(letter, letter if len(letter) == 1 else _NAMED[letter]))
        await self.pilot.pause()

    async def until(self, true: Callable[[], object], what: str = "it") -> None:
        """Wait until something is so. AssertionError when it never is."""
        for _ in range(300):
            if true():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"{what} did not come true; on the screen:\n{self.screen()}")

    async def see(self, *texts: str) -> None:
        """Wait until these are on the screen."""
        await self.until(lambda: all(text in self.screen() for text in texts), " and ".join(texts))

    def screen(self) -> str:
        """All that is on it, in lines."""
        width, height = self.app.size
        lines = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in line)[:width] for line in lines[:height])

    def line(self, text: str) -> str:
        """The first line with this text."""
        found = [line for line in self.screen().splitlines() if text in line]
        assert found, self.screen()
        return found[0]

    def column(self, key: str) -> Column:
        """A column that is shown."""
        return next(column for column, _ in self.app.table.columns if column.key == key)


Test = Callable[[Driver], Awaitable[None]]


def driven(columns: int = 80, rows: int = 24, **settings: Any) -> Callable[[Test], Callable[[], None]]:
    """A test of an application that has drawn what its daemon said first."""

    def of(test: Test) -> Callable[[], None]:
        async def run() -> None:
            daemon = FakeDaemon()
            app = application(daemon, **settings)
            async with app.run_test(size=(columns, rows), notifications=True) as pilot:
                driver = Driver(app, daemon, pilot)
                await driver.until(lambda: app.table.cursor is not None and app.machine.adapters, "a picture")
                await pilot.pause()
                await test(driver)

        @functools.wraps(test)
        def runs() -> None:
            asyncio.run(asyncio.wait_for(run(), 60))

        del runs.__wrapped__  # pytest would look for fixtures there
        return runs

    return of
