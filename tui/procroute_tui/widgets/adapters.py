"""The adapters along the top."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widgets import Static

from procroute_tui.model.adapter_lines import adapter_lines
from procroute_tui.model.machine import Machine

STYLES = {
    "": "",
    "dim": "$foreground 55%",
    "name": "bold $foreground",
    "route": "$success",
    "good": "$success",
    "bad": "bold $error",
}
"""How a role looks in text that a theme colours."""


class AdapterBar(Static):
    """A line or two for each adapter; on low screens one. brief: other things need the room.

    stale: it is not how things are now.
    """

    DEFAULT_CSS = """
    AdapterBar {
        height: auto; max-height: 40%; padding: 0 0 1 0; background: $background;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(markup=False)
        self._machine = machine
        self.brief = self.stale = False
        self._shown: list[list[tuple[str, str]]] = []

    def show(self) -> None:
        """Draw them as they are now, if anything is other than before."""
        if not self.is_attached:
            return  # the end has begun
        height = self.app.size.height
        second = not self.brief and len(self._machine.adapters) * 2 <= height // 4
        lines = adapter_lines(self._machine, self.size.width, time.time(), second=second)
        most = max(height // 4, 2)
        if len(lines) > most:
            lines = [
                *lines[: most - 1],
                [(f"   … and {len(lines) - most + 1} more: procroute adapters", "dim")],
            ]
        told = [[(text, STYLES["dim" if self.stale else role]) for text, role in line] for line in lines]
        if told != self._shown:
            others = len(told) != len(self._shown)
            self._shown = told
            if others:
                self.styles.height = len(told) + 1
            self.update(Content("\n").join(Content.assemble(*line) for line in told), layout=others)

    def on_resize(self) -> None:
        """Another width has room for other things."""
        if self._machine.adapters:
            self.show()
