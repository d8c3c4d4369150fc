"""Which rule holds for a process, and why each earlier one does not."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from procroute import protocol
from procroute.terminal import printable
from procroute_tui.model.details import Section
from procroute_tui.model.rules import tried
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.sections import drawn


class WhyDialog(Dialog[None]):
    """One page that scrolls. who: the process, in words; now: how it comes to be where it is."""

    DEFAULT_CSS = """
    WhyDialog > .box { width: 92; height: auto; padding: 1 1 0 2; scrollbar-size-vertical: 1; }
    """
    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("w,q,enter", "leave", "Close", priority=True)]

    def __init__(self, who: str, now: Section, rules: list[protocol.TriedRule]) -> None:
        super().__init__()
        self._who, self._sections = who, [now, *tried(rules)]

    def compose(self) -> ComposeResult:
        """All of it."""
        with VerticalScroll(classes="box") as box:
            box.border_title = f"rules for {printable(self._who)}"
            box.border_subtitle = "↑ ↓ scroll   Escape close"
            yield _Page(self._sections)


class _Page(Static):
    def __init__(self, sections: list[Section]) -> None:
        super().__init__(markup=False)
        self._sections = sections

    def on_resize(self) -> None:
        """Lines break elsewhere."""
        self.update(drawn(self._sections, self.size.width, labels=2))
