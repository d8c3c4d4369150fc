"""The application that leaves its terminal to a command for a while."""

from __future__ import annotations

from textual import events
from textual.app import App

from procroute.errors import ProcrouteError
from procroute_tui.in_terminal import in_terminal
from procroute_tui.launching import Launch


class Lending(App[ProcrouteError]):
    """Hears no keys from `hand_over` until `run_here` is done."""

    _lent = False

    async def on_event(self, event: events.Event) -> None:
        """Keys that came along with the one that launched a command were meant for it. It cannot have them
        any more, and they are no commands to us."""
        if not (self._lent and isinstance(event, (events.Key, events.Paste))):
            await super().on_event(event)

    def hand_over(self) -> None:
        """A command is to have the terminal."""
        self._lent = True

    def run_here(self, launch: Launch) -> int:
        """Leave the terminal to a command until it ends; its exit status.

        Raises ProcrouteError launch-failed.
        """
        status, failed = 0, None
        with self.suspend():
            try:
                status = in_terminal(launch)
            except ProcrouteError as e:  # it must not leave the block, which would not take the terminal back
                failed = e
        self.call_later(self._take_back)  # after the keys that wait already
        self.refresh(layout=True)
        if failed is not None:
            raise failed
        return status

    def _take_back(self) -> None:
        self._lent = False
