"""The rules as rows, drawn as they are seen; the cursor stays on its rule wherever that goes."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from procroute_tui.model.columns import GAP, Users
from procroute_tui.model.rule_columns import RuleColumn, cell, layout
from procroute_tui.model.rules import RuleRow
from procroute_tui.widgets.table import fit

_MARK = 2
"""Cells before the first column, for the sign of the chosen row."""


class RuleTable(ScrollView, can_focus=True):
    """Rows are given to `show`; `chosen` is the one with the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"rules--{role}" for role in ("cursor", "mark", "dim", "name", "route", "bad", "good")
    }
    DEFAULT_CSS = """
    RuleTable {
        height: 1fr; background: $background; color: $foreground; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1; scrollbar-background: $background; scrollbar-color: $scrollbar;
        & > .rules--cursor { background: $primary-muted; }
        & > .rules--mark { color: $accent; text-style: bold; }
        & > .rules--dim { color: $foreground 50%; }
        & > .rules--name { color: $foreground; }
        & > .rules--route, & > .rules--good { color: $success; }
        & > .rules--bad { color: $error; text-style: bold; }
        &.stale { color: $foreground 40%; }
        &.stale > .rules--name, &.stale > .rules--route, &.stale > .rules--bad { color: $foreground 40%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, priority=True),
        Binding("down,j", "move(1)", "Down", show=False, priority=True),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True),
        Binding("home,g", "move(-1000000)", "First", show=False, priority=True),
        Binding("end,G", "move(1000000)", "Last", show=False, priority=True),
    ]

    class Moved(Message):
        """The cursor is on another rule."""

    class LaidOut(Message):
        """The columns have other widths."""

    def __init__(self, users: Users) -> None:
        super().__init__()
        self._users = users
        self._rows: list[RuleRow] = []
        self._at = 0
        self._styles: dict[tuple[str, bool], Style] = {}
        self.columns: list[tuple[RuleColumn, int]] = layout(80 - _MARK)
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

    def go(self, row: int) -> None:
        """Put the cursor on a row, or the nearest that there is, and have it seen."""
        if not self._rows:
            return
        before, self._at = self._at, min(max(row, 0), len(self._rows) - 1)
        self.refresh_line(before)
        self.refresh_line(self._at)
        self._see()
        self.post_message(self.Moved())

    def action_move(self, rows: int) -> None:
        """Up or down."""
        self.go(self._at + rows)

    def action_page(self, pages: int) -> None:
        """So many screens up or down."""
        self.go(self._at + pages * max(self.size.height - 1, 1))

    def on_click(self, event: events.Click) -> None:
        """Choose."""
        row = event.y + round(self.scroll_offset.y)
        if row < len(self._rows):
            self.go(row)

    def on_resize(self) -> None:
        """Other columns may fit."""
        self.columns = layout(max(self.size.width - _MARK - 1, 0))
        self.post_message(self.LaidOut())
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._see()
        self.refresh()

    def notify_style_update(self) -> None:
        """Another theme."""
        self._styles.clear()
        super().notify_style_update()

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

    def _see(self) -> None:
        top, height = round(self.scroll_offset.y), self.size.height
        if height and not top <= self._at < top + height:
            y = self._at if self._at < top else self._at - height + 1
            self.scroll_to(y=y, animate=False, force=True, immediate=True)

    def _style(self, role: str, *, here: bool) -> Style:
        found = self._styles.get((role, here))
        if found is None:
            found = self.get_component_rich_style(f"rules--{role}") if role else self.rich_style
            if here:
                found += Style(bgcolor=self.get_component_rich_style("rules--cursor").bgcolor, bold=True)
            self._styles[role, here] = found
        return found


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
        strip = Strip([Segment(" " * _MARK, style), *parts])
        return strip.adjust_cell_length(self.size.width, style)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """All that there is."""
        del viewport
        return container.width
