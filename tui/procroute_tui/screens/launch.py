"""A command that is to be started on a route."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from procroute.protocol import AdapterFacts
from procroute_tui.launching import Launch
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.adapter_choice import AdapterChoice
from procroute_tui.widgets.entry import Entry
from procroute_tui.widgets.toggle import Toggle


class LaunchDialog(Dialog[Launch]):
    """Gives the command and its route. hand_over: called as soon as it is to have the terminal."""

    DEFAULT_CSS = """
    LaunchDialog OptionList > .option-list--option-highlighted { background: $primary-muted; }
    """
    AUTO_FOCUS = "Entry"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "launch", "Launch", priority=True),
        Binding("up", "choose(-1)", "Adapter", priority=True),
        Binding("down", "choose(1)", "Adapter", priority=True),
        Binding("ctrl+s", "switch('strict')", "Strict", priority=True),
        Binding("ctrl+o", "switch('main')", "When down", priority=True),
        Binding("ctrl+t", "switch('terminal')", "Terminal", priority=True),
    ]

    def __init__(self, adapters: list[AdapterFacts], hand_over: Callable[[], None]) -> None:
        super().__init__()
        self._adapters, self._hand_over = adapters, hand_over

    def compose(self) -> ComposeResult:
        """The command first; arrows choose the adapter meanwhile."""
        with Vertical(classes="box") as box:
            box.border_title = "launch"
            yield Entry(placeholder="command and its words, as in a shell")
            yield AdapterChoice(self._adapters)
            yield Toggle("^s", "strict: nothing but this adapter, no LAN either", "strict")
            yield Toggle(
                "^o", "while it is down the machine's own way, unprotected; else nothing leaves", "main"
            )
            yield Toggle("^t", "here, in this terminal, until it ends; else in the background", "terminal")
            yield Static("", classes="wrong", markup=False)
            yield Static("Enter launch   Escape cancel   ↑ ↓ adapter", classes="keys", markup=False)

    def action_choose(self, step: int) -> None:
        """The next adapter."""
        choice = self.query_one(AdapterChoice)
        (choice.action_cursor_down if step > 0 else choice.action_cursor_up)()

    def action_switch(self, name: str) -> None:
        """Switch an option."""
        self.query_one(f"#{name}", Toggle).action_switch()

    def on_option_list_option_selected(self, _: OptionList.OptionSelected) -> None:
        """A click on an adapter."""
        self._launch()

    async def action_launch(self) -> None:
        """Start what is typed."""
        await self.query_one(Entry).settle()
        self._launch()

    def _launch(self) -> None:
        adapter = self.query_one(AdapterChoice).chosen
        try:
            command = shlex.split(self.query_one(Entry).value)
        except ValueError as e:
            wrong = self.query_one(".wrong", Static)
            wrong.update(f"! {e}".lower())
            wrong.display = True
            return
        if command and adapter is not None:
            strict, main, here = (
                self.query_one(f"#{name}", Toggle).value for name in ("strict", "main", "terminal")
            )
            if here:
                self._hand_over()
            self.dismiss(Launch(adapter.name, tuple(command), strict=strict, main=main, here=here))
