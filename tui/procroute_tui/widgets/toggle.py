"""A line that is on or off: `[x] s  strict`. Textual's own Checkbox says which only by its colour."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static


class Toggle(Static, can_focus=True):
    """Switched by its key, by space, or by a click."""

    DEFAULT_CSS = """
    Toggle { height: 1; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    Toggle:focus { background: $primary-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "switch", "Switch", priority=True)]
    value: reactive[bool] = reactive(default=False)

    def __init__(self, key: str, text: str, name: str) -> None:
        super().__init__(markup=False, id=name)
        self._key, self._text = key, text

    def render(self) -> Content:
        """As it is now."""
        sign, style = ("[x]", "bold") if self.value else ("[ ]", "")
        return Content.assemble((f"{sign} ", style), (f"{self._key:<3}", "bold $accent"), self._text)

    def action_switch(self) -> None:
        """The other of the two."""
        self.value = not self.value

    def on_click(self) -> None:
        """As its key."""
        self.action_switch()
