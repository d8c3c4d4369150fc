"""Rows with a cursor: what the tables have in common. Only the lines that are seen are drawn.

Textual's own DataTable keeps every cell of every row; with thousands of processes that come and go it is too
slow. Here a line is made from the model when it is drawn.
"""

from __future__ import annotations

from typing import ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.scroll_view import ScrollView

MARK: Final = 2
"""Cells before the first column, for the sign of a row."""


class Rows(ScrollView, can_focus=True):
    """A table says how many rows there are (`count`), draws them (`render_line`), and is told by `_was_put`
    that the cursor was put somewhere."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"rows--{role}" for role in ("cursor", "mark", "dim", "name", "route", "bad", "good")
    }
    DEFAULT_CSS = """
    Rows {
        height: 1fr; background: $background; color: $foreground; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1; scrollbar-background: $background; scrollbar-color: $scrollbar;
        & > .rows--cursor { background: $primary-muted; }
        & > .rows--mark { color: $accent; text-style: bold; }
        & > .rows--dim { color: $foreground 50%; }
        & > .rows--name { color: $foreground; }
        & > .rows--route, & > .rows--good { color: $success; }
        & > .rows--bad { color: $error; text-style: bold; }
        &.stale { color: $foreground 40%; }
        &.stale > .rows--name, &.stale > .rows--route, &.stale > .rows--bad { color: $foreground 40%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority, as those that act on the row: they must not overtake these.
        Binding("up,k", "move(-1)", "Up", show=False, priority=True),
        Binding("down,j", "move(1)", "Down", show=False, priority=True),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True),
        Binding("home,g", "move(-1000000)", "First", show=False, priority=True),
        Binding("end,G", "move(1000000)", "Last", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self._styles: dict[tuple[str, bool], Style] = {}

    @property
    def at(self) -> int:
        """The cursor's row, from the top."""
        return self._at

    @property
    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def go(self, row: int) -> None:
        """Put the cursor on a row, or the nearest that there is, and have it seen."""
        if not self.count:
            return
        before, self._at = self._at, min(max(row, 0), self.count - 1)
        self.refresh_line(before)
        self.refresh_line(self._at)
        self._see()
        self._was_put()

    def _was_put(self) -> None:
        """The cursor was put on a row."""
        raise NotImplementedError

    def action_move(self, rows: int) -> None:
        """Up or down."""
        self.go(self._at + rows)

    def action_page(self, pages: int) -> None:
        """So many screens up or down."""
        self.go(self._at + pages * max(self.size.height - 1, 1))

    def notify_style_update(self) -> None:
        """Another theme."""
        self._styles.clear()
        super().notify_style_update()

    def _see(self) -> None:
        """Scroll to where the cursor is seen."""
        top, height = round(self.scroll_offset.y), self.size.height
        if height and not top <= self._at < top + height:
            y = self._at if self._at < top else self._at - height + 1
            self.scroll_to(y=y, animate=False, force=True, immediate=True)

    def _style(self, role: str, *, here: bool) -> Style:
        """How a role looks. here: in the row with the cursor."""
        found = self._styles.get((role, here))
        if found is None:
            found = self.get_component_rich_style(f"rows--{role}") if role else self.rich_style
            if here:
                found += Style(bgcolor=self.get_component_rich_style("rows--cursor").bgcolor, bold=True)
            self._styles[role, here] = found
        return found


def fit(text: str, room: int, *, right: bool = False) -> str:
    """A text in exactly so many cells, shortened with a sign where it has more."""
    if room <= 0:
        return ""
    length = cell_len(text)
    if length > room:
        return set_cell_size(text, room - 1) + "…"
    return " " * (room - length) + text if right else text + " " * (room - length)
