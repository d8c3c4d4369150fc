"""The rows: a virtual table that draws only the lines that are seen, each when something in it has changed.

Textual's own DataTable keeps every cell of every row; with thousands of processes that come and go it is too
slow. Here a line is made from the listing when it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from procroute_tui.model.cells import cells
from procroute_tui.model.columns import GAP, Column, layout
from procroute_tui.model.listing import Key, Listing

_MARK: Final = 2
"""Cells before the first column, for the sign of a marked row."""
_EDGE: Final = 2
"""Cells after the last one: a gap, and the bar that scrolls."""
_SHORTEST: Final = 8
"""Cells that a name keeps, however deep it is in the tree."""


class Table(ScrollView, can_focus=True):
    """Rows of a listing, with a cursor that stays on its process wherever that goes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(
            f"table--{role}"
            for role in ("cursor", "marked", "dim", "name", "route", "bad", "good", "heading")
        ),
    }
    DEFAULT_CSS = """
    Table {
        height: 1fr; background: $background; color: $foreground; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1; scrollbar-background: $background; scrollbar-color: $scrollbar;
        & > .table--cursor { background: $primary-muted; }
        & > .table--marked { color: $accent; text-style: bold; }
        & > .table--dim { color: $foreground 50%; }
        & > .table--name { color: $foreground; }
        & > .table--route { color: $success; }
        & > .table--bad { color: $error; text-style: bold; }
        & > .table--good { color: $success; }
        &.stale { color: $foreground 40%; }
        &.stale > .table--name, &.stale > .table--route, &.stale > .table--bad { color: $foreground 40%; }
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

    class Moved(Message):
        """The cursor is on another row."""

    class LaidOut(Message):
        """The columns are others, or have other widths."""

    class Marking(Message):
        """A row was clicked on its left edge."""

        def __init__(self, key: Key) -> None:
            super().__init__()
            self.key = key

    class Opening(Message):
        """A row was clicked twice."""

    def __init__(self, listing: Listing) -> None:
        super().__init__()
        self.listing = listing
        self.columns: list[tuple[Column, int]] = []
        self.wanted: tuple[str, ...] = ()
        self.marked: set[int] = set()
        self.cursor: Key | None = None
        self._at = 0
        self._moved = False
        self._styles: dict[tuple[str, bool], Style] = {}

    # --- what is shown

    def show_rows(self) -> None:
        """The rows are others, or elsewhere. Once the cursor was moved it keeps its place on the screen."""
        rows = self.listing.rows
        old, top = self._at, round(self.scroll_offset.y)
        seen = top <= old < top + self.size.height
        if self._moved and self.cursor is not None:
            try:
                self._at = rows.index(self.cursor)
            except ValueError:
                self._at = min(old, max(len(rows) - 1, 0))
        else:
            self._at = min(old, max(len(rows) - 1, 0))
        self.lay_out()
        if self._moved and seen and self._at != old and top:
            self.scroll_to(y=max(top + self._at - old, 0), animate=False, force=True, immediate=True)
        self._place(rows)
        self.refresh()

    def touch(self, pids: Iterable[int]) -> None:
        """Draw those of these rows that are seen; their places are as before."""
        rows, top = self.listing.rows, round(self.scroll_offset.y)
        changed = set(pids)
        for y in range(top, min(top + self.size.height, len(rows))):
            if rows[y] in changed:
                self.refresh_line(y)

    def lay_out(self) -> None:
        """Choose columns for the width that there is."""
        tree = self.listing.shape.view != "list"
        columns = layout(max(self.size.width - _MARK - _EDGE, 0), self.wanted, tree=tree)
        if columns != self.columns:
            self.columns = columns
            self.post_message(self.LaidOut())
        self.virtual_size = Size(self.size.width, len(self.listing.rows))
        self.refresh()

    # --- the cursor

    @property
    def at(self) -> int:
        """The cursor's row, from the top."""
        return self._at

    def go(self, row: int) -> None:
        """Put the cursor on a row, or the nearest that there is, and have it seen."""
        rows = self.listing.rows
        if not rows:
            return
        self._moved = True
        before, self._at = self._at, min(max(row, 0), len(rows) - 1)
        self.refresh_line(before)
        self.refresh_line(self._at)
        top, height = round(self.scroll_offset.y), self.size.height
        if not top <= self._at < top + height:
            y = self._at if self._at < top else self._at - height + 1
            self.scroll_to(y=y, animate=False, force=True, immediate=True)
        self._place(rows)

    def action_move(self, rows: int) -> None:
        """Up or down."""
        self.go(self._at + rows)

    def action_page(self, pages: int) -> None:
        """So many screens up or down."""
        self.go(self._at + pages * max(self.size.height - 1, 1))

    def _place(self, rows: list[Key]) -> None:
        found = rows[self._at] if rows else None
        if found != self.cursor:
            self.cursor = found
            self.post_message(self.Moved())

    # --- events

    def on_resize(self) -> None:
        """Other columns may fit."""
        self.show_rows()

    def on_click(self, event: events.Click) -> None:
        """One click selects, on the left edge marks, two open."""
        row = event.y + round(self.scroll_offset.y)
        if not 0 <= row < len(self.listing.rows):
            return
        self.go(row)
        if event.x < _MARK:
            self.post_message(self.Marking(self.listing.rows[row]))
        elif event.chain == 2:
            self.post_message(self.Opening())

    def notify_style_update(self) -> None:
        """Another theme."""
        self._styles.clear()
        super().notify_style_update()

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        rows, width = self.listing.rows, self.size.width
        row = y + round(self.scroll_offset.y)
        if y == 0 and not rows and self.listing.machine.processes:
            told = "cmd:WORD looks in command lines, Esc ends the filter"
            if not self.listing.shape.filter:
                told = "o shows what is not routed, too"
            line = Segment(fit(f"  nothing is like that: {told}", width))
            return Strip([line]).apply_style(self._style("dim", here=False))
        if row >= len(rows):
            return Strip.blank(width, self.rich_style)
        key, here = rows[row], row == self._at
        base = self._style("", here=here)
        mark = "✓ " if key in self.marked else "▌ " if here else "  "
        segments = [Segment(mark, self._style("marked", here=here))]
        for text, role in self._texts(key):
            style = self._style("name" if here and role == "dim" else role, here=here)
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(width, base)

    def _texts(self, key: Key) -> Iterator[tuple[str, str]]:
        """A row's texts from the left, each with what it means, in the cells of its column."""
        found = cells(self.listing, key, [column for column, _ in self.columns])
        texts = list(zip(self.columns, found, strict=True))
        keys = [column.key for column, _ in self.columns]
        if isinstance(key, str) and keys:  # a unit's name has all the room before the route
            before = keys.index("route")
            room = sum(room for _, room in self.columns[:before]) + GAP * (before - 1)
            name, role = found[keys.index("name")]
            yield fit(name, room) + " " * GAP, role
            texts = texts[before:]
        for (column, room), (text, role) in texts:
            guide = self.listing.guide(key) if column.key == "name" else ""
            if guide and len(guide) > room - _SHORTEST:  # so deep that the name would not be seen
                guide = f"{guide[: max(room - _SHORTEST - 2, 0)]}… "
            if guide:
                yield guide, "dim"
            yield fit(text, room - len(guide), right=column.right) + " " * GAP, role

    def _style(self, role: str, *, here: bool) -> Style:
        found = self._styles.get((role, here))
        if found is None:
            found = self.get_component_rich_style(f"table--{role}") if role else self.rich_style
            if here:
                cursor = self.get_component_rich_style("table--cursor")
                found += Style(bgcolor=cursor.bgcolor, bold=True)
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
