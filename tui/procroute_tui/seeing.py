"""The keys that change what is seen, and nothing else."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace
from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.widgets import Input

from procroute_tui.lending import Lending
from procroute_tui.model.columns import BY_KEY
from procroute_tui.model.listing import VIEWS, Key, Listing, Shape
from procroute_tui.widgets.filter import FilterBar
from procroute_tui.widgets.heading import Heading
from procroute_tui.widgets.keys import KeyLine
from procroute_tui.widgets.pane import Pane
from procroute_tui.widgets.table import Table


def key(key: str, action: str, text: str, *, shown: str = "", show: bool = True) -> Binding:
    """A key of the main screen; shown: as it is written there.

    With priority: it has been handled when the next one comes, however quickly that was typed. Others are on
    their way through the widgets by then, and a letter of a filter would be taken for a command.
    """
    return Binding(key, action, text, key_display=shown or None, show=show, priority=True)


KEYS: Final[tuple[BindingType, ...]] = (
    key("m,space", "mark", "Mark"),
    key("slash", "filter", "Filter", shown="/"),
    key("t", "view", "View"),
    key("enter,d", "details", "Info", shown="⏎"),
    key("l", "launch", "Launch"),
    key("b", "rules", "Rules"),
    key("w", "why", "Which rule holds for it, and why", show=False),
    key("less_than_sign", "sort(-1)", "Sort by the column before", show=False),
    key("greater_than_sign", "sort(1)", "Sort by the next column", show=False),
    key("i", "invert", "Sort the other way round", show=False),
    key("o", "routed", "Only what is routed", show=False),
    key("K", "threads", "Kernel threads", show=False),
    key("c", "columns", "Columns", show=False),
    key("left,h", "fold(True)", "Fold", show=False),
    key("right", "fold(False)", "Unfold", show=False),
    Binding("escape", "leave", "Leave", show=False),
)
SPARE: Final = ("mark", "view", "details", "launch", "filter", "undo", "rules", "rule", "release")
"""Actions whose keys are left out of the last line where it is short, the first of them first."""
_ANYWHERE: Final = frozenset({"leave", "row", "keep_filter"})


class Seeing(Lending):
    """The half of the application that chooses, sorts, folds and opens."""

    listing: Listing
    table: Table
    filter_bar: FilterBar
    keys: KeyLine
    pane: Pane

    def draw(self) -> None:
        """Draw what there is now."""
        raise NotImplementedError

    async def complete(self) -> None:
        """Have all parts there, also what is not seen at first."""
        raise NotImplementedError

    def look(self) -> None:
        """The details that are shown are of another process, or shall be."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Keys of the main screen are letters where one types, and others' in dialogs."""
        del parameters
        ours = action not in _ANYWHERE and hasattr(type(self), f"action_{action}")
        if not ours or hasattr(App, f"action_{action}"):
            return True
        return len(self.screen_stack) == 1 and self.focused is not self.filter_bar

    def reshape(self, shape: Shape) -> None:
        """Choose and sort otherwise, and draw."""
        self.listing.reshape(shape)
        self.draw()

    # --- rows

    def action_view(self) -> None:
        """The next of the views."""
        shape = self.listing.shape
        following = VIEWS[(VIEWS.index(shape.view) + 1) % len(VIEWS)]
        self.reshape(replace(shape, view=following))

    def action_sort(self, step: int) -> None:
        """By the column beside the one that is sorted by, of those that are seen."""
        shown = [column.key for column, _ in self.table.columns]
        now = self.listing.shape.sort
        at = (shown.index(now) + step) % len(shown) if now in shown else 0
        self._sort_by(shown[at])

    def action_invert(self) -> None:
        """The other way round."""
        shape = self.listing.shape
        self.reshape(replace(shape, descending=not shape.descending))

    def action_routed(self) -> None:
        """Only what is on a route, or all."""
        shape = self.listing.shape
        self.reshape(replace(shape, routed=not shape.routed))

    def action_threads(self) -> None:
        """Threads of the kernel's own, or not."""
        shape = self.listing.shape
        self.reshape(replace(shape, threads=not shape.threads))

    def action_fold(self, folded: bool) -> None:
        """Hide what is below the chosen row, or show it."""
        chosen = self.table.choose()
        if chosen is not None:
            self.listing.fold(chosen, folded=folded)
            self.draw()

    async def action_columns(self) -> None:
        """Choose which are shown."""
        from procroute_tui.screens.columns import ColumnsDialog

        def chosen(columns: tuple[str, ...] | None) -> None:
            if columns is not None:
                self.table.wanted = columns
                self.table.lay_out()
                self.draw()

        await self.push_screen(ColumnsDialog(self.table.wanted), chosen)

    @on(Heading.Sort)
    def _heading_clicked(self, event: Heading.Sort) -> None:
        if event.column == self.listing.shape.sort:
            self.action_invert()
        else:
            self._sort_by(event.column)

    def _sort_by(self, column: str) -> None:
        descending = BY_KEY[column].numeric  # who carries most, first
        self.reshape(replace(self.listing.shape, sort=column, descending=descending))

    async def action_row(self, step: int) -> None:
        """Up or down, while one types a filter."""
        await self._take_letters()
        self.table.action_move(step)

    # --- marks

    def action_mark(self) -> None:
        """Mark the chosen row, or take the mark off, and go to the next."""
        self.mark(self.table.cursor)
        self.table.action_move(1)

    def mark(self, key: Key | None) -> None:
        """Mark a row, or take the mark off. A unit stands for its processes."""
        pids = set(self.processes_of(key))
        if pids <= self.table.marked:
            self.table.marked -= pids
        else:
            self.table.marked |= pids
        self.draw()

    @on(Table.Marking)
    def _edge_clicked(self, event: Table.Marking) -> None:
        self.mark(event.key)

    def processes_of(self, key: Key | None) -> list[int]:
        """What a row stands for."""
        if isinstance(key, str):
            return [pid for pid in self.listing.below(key) if self.listing.matches(pid)]
        return [] if key is None else [key]

    # --- filter

    async def action_filter(self) -> None:
        """Type what rows must contain. At once: what is typed next is meant for it."""
        await self.complete()
        self._open_filter(opened=True)
        self.screen.set_focus(self.filter_bar)

    @on(Input.Changed, "FilterBar")
    def _filter_typed(self) -> None:
        self._filter_by(self.filter_bar.value)

    def _filter_by(self, text: str) -> None:
        shape = self.listing.shape
        if text != shape.filter:
            self.reshape(replace(shape, filter=text))

    async def action_keep_filter(self) -> None:
        """Back to the rows that it leaves."""
        await self._take_letters()
        self.screen.set_focus(self.table)
        self._open_filter(opened=False)

    async def _take_letters(self) -> None:
        """Filter by what was typed so far: letters may still be on their way, and what comes next is meant
        for the rows that they leave."""
        await self.filter_bar.settle()
        self._filter_by(self.filter_bar.value)

    def _open_filter(self, *, opened: bool) -> None:
        """In the place of the line of keys, which are letters of the filter meanwhile."""
        self.filter_bar.display, self.keys.display = opened, not opened

    def filter_by(self, text: str) -> None:
        """Show the rows that contain this, whatever was chosen before."""
        self.filter_bar.value = text
        self.reshape(replace(self.listing.shape, filter=text, routed=False))

    def leave_filter(self) -> None:
        """All rows again."""
        self.table.focus()
        self._open_filter(opened=False)
        self.filter_bar.value = ""
        self.reshape(replace(self.listing.shape, filter=""))

    # --- details and help

    def action_details(self) -> None:
        """Open them, or close them."""
        self.pane.toggle_class("shown")
        self.table.focus()
        self.look()

    @on(Table.Opening)
    def _row_clicked_twice(self) -> None:
        self.pane.add_class("shown")
        self.look()

    @on(Table.Moved)
    def _row_chosen(self) -> None:
        self.look()

    async def action_help(self) -> None:
        """Every key."""
        from procroute_tui.screens.help import HelpDialog

        await self.push_screen(HelpDialog())

    def action_leave(self) -> None:
        """Leave the filter, else the marks, else the details."""
        if self.filter_bar.display or self.listing.shape.filter:
            self.leave_filter()
        elif self.table.marked:
            self.table.marked.clear()
            self.draw()
        elif self.pane.has_class("shown"):
            self.action_details()
