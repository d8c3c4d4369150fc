"""What the dialogs have in common."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A box in the middle; Escape leaves it and changes nothing. AUTO_FOCUS: what keys are for.

    Its keys, but letters of a text, have priority: each has been handled when the next one comes, however
    quickly that was typed.
    """

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .box {
        width: 74; max-width: 96%; height: auto; max-height: 94%; padding: 1 2; background: $surface;
        border: round $primary; border-title-color: $accent; border-title-style: bold;
        overflow-y: auto; scrollbar-size-vertical: 1;
    }
    Dialog.-low > .box { padding: 0 1; max-height: 100%; }
    Dialog.-low > .box * { margin: 0; }
    Dialog.-low > .box > .keys { dock: bottom; background: $surface; }
    Dialog .said { height: auto; margin: 0 0 1 0; color: $foreground 80%; }
    Dialog .keys { height: auto; margin: 1 0 0 0; color: $foreground 60%; }
    Dialog .wrong { height: auto; margin: 1 0 0 0; color: $error; display: none; }
    Dialog OptionList, Dialog OptionList:focus {
        height: auto; max-height: 10; border: none; padding: 0; background: $surface; margin: 0 0 1 0;
        background-tint: $foreground 0%; text-wrap: nowrap; text-overflow: ellipsis;
    }
    Dialog OptionList > .option-list--option-highlighted {
        background: $panel; color: $foreground; text-style: bold;
    }
    Dialog OptionList:focus > .option-list--option-highlighted { background: $primary-muted; }
    Dialog Input { border: round $panel; background: $background; margin: 0 0 1 0; }
    Dialog Input:focus { border: round $primary; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-low"), (20, "-high")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel", priority=True)]

    def on_mount(self) -> None:
        """At once, and not with the first picture: keys may have been typed ahead."""
        if self.AUTO_FOCUS:
            self.set_focus(self.query(self.AUTO_FOCUS).first())

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Answer; once, though a click or a key of the same sense may be on its way still."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

    def action_leave(self) -> None:
        """Nothing is to be done."""
        self.dismiss(None)
