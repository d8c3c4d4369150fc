"""A line of text to type into, which takes letters and the keys that edit them in the order of typing."""

from __future__ import annotations

import asyncio
from typing import Final

from textual import events
from textual.binding import Binding
from textual.widgets import Input

_EDITING: Final = {key.key: key.action for key in Binding.make_bindings(Input.BINDINGS)}
"""What keys do in a line, by their names."""


class Entry(Input):
    """Textual's own handles a letter here and Backspace on its way through the application, so that letters
    overtake it where much is typed at once, as by a slow line."""

    async def on_key(self, event: events.Key) -> None:
        """Edit, before anything else is typed."""
        action = _EDITING.get(event.key)
        if action is not None and action != "submit":
            event.stop()
            await self.run_action(action)

    async def settle(self) -> None:
        """Wait until what was typed so far is in `value`. For the application's own keys only."""
        taken = asyncio.Event()
        self.call_later(taken.set)
        await taken.wait()
