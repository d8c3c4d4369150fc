"""Every key, every column and every sign."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from procroute_tui.model.columns import COLUMNS
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.lines import hanging

KEYS: Final = (
    (
        "see",
        (
            ("↑ ↓ j k", "row by row; PgUp, PgDn, Home (g), End (G)"),
            ("t", "as a list, as the tree of processes, or by unit"),
            ("← →", "fold what is below a row, unfold it"),
            ("/", "filter as you type: PID, name, user, unit, route, adapter; several words: all of them"),
            ("cmd:", "before a word of a filter: it is sought in command lines"),
            ("Esc", "leave the filter, then the marks, then the details"),
            ("< >", "sort by the column to the left, to the right; or click its title"),
            ("i", "sort the other way round"),
            ("o", "only what is routed"),
            ("K", "threads of the kernel, too"),
            ("c", "choose columns"),
            (
                "Enter d",
                "details of the chosen process: sockets, events, how its packets go; Tab to scroll in them",
            ),
        ),
    ),
    (
        "change",
        (
            ("a", "assign the marked processes, else the chosen one: Enter takes the proposed adapter"),
            ("r", "release their assignments, after a question"),
            ("m Space", "mark; a click on the left edge as well"),
            ("u", "undo the last change: release what was assigned, assign again what was released"),
            ("l", "launch a command on a route"),
        ),
    ),
    (
        "rules",
        (
            (
                "R",
                "make a rule of the chosen process: it finds its way by itself from its next start on",
            ),
            ("w", "which rule holds for the chosen process, and why each earlier one does not"),
            ("b", "all rules, in the order in which they are asked: the first that matches holds. There:"),
            ("e Space", "switch the chosen rule off, and on again"),
            ("x Del", "remove it from its file, after a question"),
            ("p", "the processes that it has placed"),
            ("Enter d", "all that it says, what of it does not hold, and whom it has placed"),
            ("a", "apply all rules to what runs already, after a question"),
            ("r", "have the daemon read the configuration and all rules again; by root"),
            ("Esc b q", "back to the processes"),
        ),
    ),
    (
        "the rest",
        (
            ("^p", "all commands, to be searched; themes are there"),
            ("?", "this"),
            ("q", "quit; what is assigned stays so; what is being changed is first"),
        ),
    ),
)
SIGNS: Final = (
    ("● ○", "an adapter that is up; one that is not"),
    ("↓ ↑", "bytes a second that came in, that went out, and how that was for the last seconds"),
    ("dropped", "packets that the guard dropped, since they would have left by another adapter"),
    ("–", "nothing, or not known: bytes of a process that is not routed are not counted"),
    ("·", "counted with the first process of its assignment"),
    ("+2 old", "two sockets go on by the way that they were opened on"),
    ("✓ ▌", "a marked row; the chosen one"),
    ("! ? –", "of a rule: it does not hold now; it names what is not there now; it is switched off"),
)


class HelpDialog(Dialog[None]):
    """One page that scrolls."""

    DEFAULT_CSS = """
    HelpDialog > .box { width: 92; height: 94%; padding: 1 1 0 2; scrollbar-size-vertical: 1; }
    """
    AUTO_FOCUS = "VerticalScroll"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark,q,enter", "leave", "Close")]

    def compose(self) -> ComposeResult:
        """All of it."""
        with VerticalScroll(classes="box") as box:
            box.border_title = "help"
            box.border_subtitle = "↑ ↓ scroll   Escape close"
            yield _Page(markup=False)


class _Page(Static):
    def on_resize(self) -> None:
        """Lines break elsewhere."""
        self.update(text(self.size.width))


def text(room: int) -> Content:
    """The page, in lines of so many cells."""
    parts: list[tuple[str, str]] = []
    for title, keys in KEYS:
        parts += _part(title, keys, room)
    parts += _part("columns", tuple((column.title, column.help) for column in COLUMNS), room)
    parts += _part("signs", SIGNS, room)
    return Content.assemble(*parts)


def _part(title: str, lines: tuple[tuple[str, str], ...], room: int) -> list[tuple[str, str]]:
    parts = [(f"{title}\n", "bold $accent")]
    for key, meaning in lines:
        parts += [*hanging(f"  {key:<10} ", meaning, room, "bold $primary", ""), ("\n", "")]
    return [*parts, ("\n", "")]
