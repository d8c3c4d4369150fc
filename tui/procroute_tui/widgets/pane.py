"""The details of the chosen process."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from procroute_tui.model.columns import Users
from procroute_tui.model.details import Asked, Section, sections
from procroute_tui.model.machine import Machine
from procroute_tui.widgets.sections import drawn


class Pane(VerticalScroll, can_focus=True):
    """Beside the table where there is room, else below it."""

    DEFAULT_CSS = """
    Pane {
        display: none; background: $surface; padding: 0 1; height: 45%; width: 1fr;
        border-top: solid $panel; scrollbar-size-vertical: 1;
    }
    Pane.shown { display: block; }
    Pane:focus { border-top: solid $accent; }
    """

    def __init__(self, machine: Machine, users: Users) -> None:
        super().__init__()
        self._machine, self._users = machine, users
        self._text = Static(markup=False)
        self._shown: list[Section] = []
        self.asked: Asked | None = None

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        yield self._text

    def show(self) -> None:
        """Draw what is known of the process that was asked about."""
        if not self.is_attached:
            return
        if self.asked is None:
            told = [Section("nothing is chosen", [])]
        else:
            told = list(sections(self._machine, self._users, self.asked, now(), _clock))
        if told != self._shown:
            self._shown = told
            room = max(self.size.width - 1, 20)
            self._text.update(drawn(told, room))

    def on_resize(self) -> None:
        """Lines break elsewhere."""
        self._shown = []
        if self.has_class("shown"):
            self.show()


def now() -> float:
    """Seconds of the Epoch."""
    return time.time()


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
