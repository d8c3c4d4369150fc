"""The rules as rows, drawn as they are seen; the cursor stays on its rule wherever that goes."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from procroute_tui.model.columns import GAP, Users
from procroute_tui.model.rule_columns import RuleColumn, cell, layout
from procroute_tui.model.rules import RuleRow
from procroute_tui.widgets.rows import MARK, Rows, fit


class RuleTable(Rows):
    """Rows are given to `show`; `chosen` is the one with the cursor."""

    class Moved(Message):
        """The cursor is on another rule."""

    class LaidOut(Message):
        """The columns have other widths."""

    def __init__(self, users: Users) -> None:
        super().__init__()
        self._users = users
        self._rows: list[RuleRow] = []
        self.columns: list[tuple[RuleColumn, int]] = layout(80 - MARK)
        self.empty = ""
        """What is said where there is no row."""

    @property
    def chosen(self) -> RuleRow | None:
        """The rule with the cursor."""
        return self._rows[self._at] if self._at < len(self._rows) else None

    def show(self, rows: list[RuleRow]) -> None:
        """Draw these; the cursor goes with its rule, or stays where that was."""
        here = self.chosen
        self._rows = rows
        places = [row.rule.place for row in rows]
        if here is not None and here.rule.place in places:
            self._at = places.index(here.rule.place)
        self._at = min(self._at, max(len(rows) - 1, 0))
        self.virtual_size = Size(self.size.width, len(rows))
        self.refresh()
        self.post_message(self.Moved())

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def _was_put(self) -> None:
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Choose."""
        row = event.y + round(self.scroll_offset.y)
        if row < len(self._rows):
            self.go(row)

    def on_resize(self) -> None:
        """Other columns may fit."""
        self.columns = layout(max(self.size.width - MARK - 1, 0))
        self.post_message(self.LaidOut())
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._see()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width, at = self.size.width, y + round(self.scroll_offset.y)
        if not self._rows and y == 0 and self.empty:
            return Strip([Segment(fit(f"  {self.empty}", width))]).apply_style(self._style("dim", here=False))
        if at >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row, here = self._rows[at], at == self._at
        segments = [Segment("▌ " if here else "  ", self._style("mark", here=here))]
        for column, room in self.columns:
            text, role = cell(row, column.key, self._users)
            role = "" if here and role == "dim" else role
            if column.key == "place" and len(text) > room:  # the line is what tells it from others
                text = f"…{text[1 - room :]}"
            shown = fit(text, room, right=column.right) + " " * GAP
            segments.append(Segment(shown, self._style(role, here=here)))
        return Strip(segments).adjust_cell_length(width, self._style("", here=here))


class RuleHeading(Widget):
    """One line with the titles of a table's columns."""

    DEFAULT_CSS = """
    RuleHeading { height: 1; background: $panel; color: $foreground 80%; text-style: bold; }
    """

    def __init__(self, table: RuleTable) -> None:
        super().__init__()
        self._table = table

    def render_line(self, y: int) -> Strip:
        """The titles."""
        del y
        style = self.rich_style
        parts = [
            Segment(fit(column.title, room, right=column.right) + " " * GAP, style)
            for column, room in self._table.columns
        ]
        strip = Strip([Segment(" " * MARK, style), *parts])
        return strip.adjust_cell_length(self.size.width, style)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """All that there is."""
        del viewport
        return container.width
