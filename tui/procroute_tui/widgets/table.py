"""The processes as rows, each drawn when something in it has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from procroute_tui.model.cells import cells
from procroute_tui.model.columns import GAP, Column, layout
from procroute_tui.model.listing import Key, Listing
from procroute_tui.widgets.rows import MARK, Rows, fit

_EDGE: Final = 2
"""Cells after the last one: a gap, and the bar that scrolls."""
_SHORTEST: Final = 8
"""Cells that a name keeps, however deep it is in the tree."""


class Table(Rows):
    """Rows of a listing, with a cursor that stays on its process wherever that goes."""

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
        self._chosen = False

    # --- what is shown

    def show_rows(self) -> None:
        """The rows are others, or elsewhere. Once the cursor is chosen it keeps its place on the screen."""
        rows = self.listing.rows
        old, top = self._at, round(self.scroll_offset.y)
        seen = top <= old < top + self.size.height
        if self._chosen and self.cursor is not None:
            try:
                self._at = rows.index(self.cursor)
            except ValueError:
                self._at = min(old, max(len(rows) - 1, 0))
        else:
            self._at = min(old, max(len(rows) - 1, 0))
        self.lay_out()
        if self._chosen and seen and self._at != old and top:
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
        columns = layout(max(self.size.width - MARK - _EDGE, 0), self.wanted, tree=tree)
        if columns != self.columns:
            self.columns = columns
            self.post_message(self.LaidOut())
        self.virtual_size = Size(self.size.width, len(self.listing.rows))
        self.refresh()

    # --- the cursor

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.listing.rows)

    def choose(self) -> Key | None:
        """The cursor's row, for a key that acts on it: the cursor stays on it from then on."""
        self._chosen = True
        return self.cursor

    def _was_put(self) -> None:
        self._chosen = True
        self._place(self.listing.rows)

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
        if event.x < MARK:
            self.post_message(self.Marking(self.listing.rows[row]))
        elif event.chain == 2:
            self.post_message(self.Opening())

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
        segments = [Segment(mark, self._style("mark", here=here))]
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
