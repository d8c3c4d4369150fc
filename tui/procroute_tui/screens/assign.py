"""Where chosen processes are to go."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static

from procroute import protocol
from procroute.protocol import AdapterFacts
from procroute.terminal import printable
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.adapter_choice import AdapterChoice
from procroute_tui.widgets.toggle import Toggle


class AssignDialog(Dialog[protocol.Assign]):
    """Gives the request. who: the processes, in words; now: the adapter that they use."""

    AUTO_FOCUS = "AdapterChoice"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "assign", "Assign", priority=True),
        Binding("s", "switch('strict')", "Strict", priority=True),
        Binding("d", "switch('main')", "When down", priority=True),
        Binding("t", "switch('tree')", "Tree", priority=True),
        Binding("x", "switch('reset')", "Reset", priority=True),
        Binding("v", "switch('servers')", "Servers", priority=True),
    ]

    def __init__(self, pids: list[int], who: str, adapters: list[AdapterFacts], now: str) -> None:
        super().__init__()
        self._pids, self._who, self._adapters, self._now = pids, who, adapters, now

    def compose(self) -> ComposeResult:
        """The adapters first: one key more, and it is done."""
        with Vertical(classes="box") as box:
            box.border_title = "assign"
            said = f"{printable(self._who)} {'are' if len(self._pids) > 1 else 'is'} to leave by"
            yield Static(said, classes="said", markup=False)
            yield AdapterChoice(self._adapters, self._now)
            yield Toggle("s", "strict: nothing but this adapter, no LAN either", "strict")
            yield Toggle(
                "d", "while it is down the machine's own way, unprotected; else nothing leaves", "main"
            )
            yield Toggle("t", "whole tree: also all that descends from it", "tree")
            yield Toggle("x", "end open connections; else they go on as they are", "reset")
            yield Toggle("v", "UDP servers on a port of their choice follow, too", "servers")
            yield Static("Enter assign   Escape cancel   ↑ ↓ adapter", classes="keys", markup=False)

    def action_switch(self, name: str) -> None:
        """Switch an option."""
        self.query_one(f"#{name}", Toggle).action_switch()

    def on_option_list_option_selected(self, _: OptionList.OptionSelected) -> None:
        """A click."""
        self.action_assign()

    def action_assign(self) -> None:
        """To the adapter that is highlighted."""
        adapter = self.query_one(AdapterChoice).chosen
        if adapter is None:
            return
        chosen = {box.id: box.value for box in self.query(Toggle)}
        self.dismiss(
            protocol.Assign(
                route=protocol.Wanted(
                    adapter.name,
                    strict=chosen["strict"],
                    on_down="main" if chosen["main"] else None,
                ),
                pids=self._pids,
                tree=chosen["tree"],
                existing="reset" if chosen["reset"] else "keep",
                servers=chosen["servers"],
            )
        )
