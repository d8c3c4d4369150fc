"""Which columns are shown."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from procroute_tui.model.columns import ALWAYS, COLUMNS
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.toggle import Toggle

_FREE: Final = tuple(column for column in COLUMNS if column.key not in ALWAYS)


class ColumnsDialog(Dialog[tuple[str, ...]]):
    """Gives the keys of the columns; none means: as many as fit."""

    AUTO_FOCUS = "Toggle"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(n), f"switch('{column.key}')", column.title, priority=True)
            for n, column in enumerate(_FREE, 1)
        ),
        Binding("0", "all", "All", priority=True),
        Binding("enter,c", "keep", "Done", priority=True),
        Binding("up", "app.focus_previous", "Up", priority=True),
        Binding("down", "app.focus_next", "Down", priority=True),
    ]

    def __init__(self, shown: tuple[str, ...]) -> None:
        super().__init__()
        self._shown = shown

    def compose(self) -> ComposeResult:
        """Those that can be left out."""
        with Vertical(classes="box") as box:
            box.border_title = "columns"
            yield Static("What does not fit is left out all the same.", classes="said", markup=False)
            for number, column in enumerate(_FREE, 1):
                brief = re.split("[;:]", column.help)[0]  # a line has no room for more; the help page has
                toggle = Toggle(str(number), f"{column.title:<9} {brief}", column.key)
                toggle.value = not self._shown or column.key in self._shown
                yield toggle
            yield Static("Space switch   0 all   Enter done   Escape cancel", classes="keys", markup=False)

    def action_switch(self, key: str) -> None:
        """Show a column, or leave it out."""
        self.query_one(f"#{key}", Toggle).action_switch()

    def action_keep(self) -> None:
        """Take what is chosen."""
        chosen = [toggle.id for toggle in self.query(Toggle) if toggle.value and toggle.id]
        self.dismiss(() if len(chosen) == len(_FREE) else (*sorted(ALWAYS), *chosen))

    def action_all(self) -> None:
        """Every one of them."""
        for toggle in self.query(Toggle):
            toggle.value = True
