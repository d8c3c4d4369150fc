"""The line in which one types what rows must contain."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from procroute_tui.widgets.entry import Entry


class FilterBar(Entry):
    """Rows follow each letter; arrows choose among them meanwhile."""

    DEFAULT_CSS = """
    FilterBar, FilterBar:focus { height: 1; border: none; padding: 0 1; background: $primary 25%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.row(-1)", "Up", show=False, priority=True),
        Binding("down", "app.row(1)", "Down", show=False, priority=True),
        Binding("escape", "app.leave", "All rows", show=False),
        Binding("enter", "app.keep_filter", "Keep", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__(
            placeholder="filter: name, user, unit, route, adapter, PID, cmd:word; Enter keeps it"
        )
        self.display = False
