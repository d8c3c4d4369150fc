"""A rule as it will stand in its file."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from procroute.terminal import printable
from procroute_tui.widgets.adapters import STYLES


class RuleText(VerticalScroll, can_focus=False):
    """It scrolls where it has more lines than there is room for."""

    DEFAULT_CSS = """
    RuleText { height: auto; padding: 0 1; background: $background; scrollbar-size-vertical: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._text = Static(markup=False)

    def compose(self) -> ComposeResult:
        """One text."""
        yield self._text

    def show(self, file: Path, text: str) -> None:
        """The name of the file, and the rule below it; empty: it makes no sense yet."""
        parts = [(printable(str(file)), STYLES["dim"])]
        if text:
            parts.append(("\n" + "\n".join(map(printable, text.splitlines())), ""))
        self._text.update(Content.assemble(*parts))
