"""The titles of the columns; a click on one sorts by it."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from procroute_tui.model.columns import GAP
from procroute_tui.model.listing import Shape
from procroute_tui.widgets.rows import MARK, fit
from procroute_tui.widgets.table import Table


class Heading(Widget):
    """One line above a table, whose columns it shares."""

    DEFAULT_CSS = """
    Heading { height: 1; background: $panel; color: $foreground 80%; text-style: bold; }
    """

    class Sort(Message):
        """Sort by a column."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table
        self.shape = Shape()

    def render_line(self, y: int) -> Strip:
        """The titles, with an arrow on the one that is sorted by."""
        del y
        style = self.rich_style
        segments = [Segment(" " * MARK, style)]
        for column, room in self._table.columns:
            title = column.title
            if column.key == self.shape.sort:
                title += "▼" if self.shape.descending else "▲"
            segments.append(Segment(fit(title, room, right=column.right) + " " * GAP, style))
        return Strip(segments).adjust_cell_length(self.size.width, style)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """All that there is."""
        del viewport
        return container.width

    def on_click(self, event: events.Click) -> None:
        """Which column was meant."""
        at = MARK
        for column, room in self._table.columns:
            at += room + GAP
            if event.x < at:
                self.post_message(self.Sort(column.key))
                return
