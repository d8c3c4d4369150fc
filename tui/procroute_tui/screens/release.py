"""Whether assignments are to be let go."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from procroute import protocol
from procroute.protocol import Assignment
from procroute.terminal import printable
from procroute_tui.model import words
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.toggle import Toggle


class ReleaseDialog(Dialog[protocol.Release]):
    """Gives the request. counts: how many processes are in each."""

    AUTO_FOCUS = ""  # Enter is for the question, not for the option
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "release", "Release", priority=True),
        Binding("n", "leave", "Cancel", priority=True),
        Binding("x", "switch", "Reset", priority=True),
    ]

    def __init__(self, assignments: list[Assignment], counts: dict[int, int]) -> None:
        super().__init__()
        self._assignments, self._counts = assignments, counts

    def compose(self) -> ComposeResult:
        """Which, and what becomes of what is open."""
        with Vertical(classes="box") as box:
            box.border_title = "release"
            lines = ["These go back to the machine's own way, with all of their processes:", ""]
            lines += [self._line(assignment) for assignment in self._assignments[:12]]
            if len(self._assignments) > 12:
                lines.append(f"… and {len(self._assignments) - 12} more")
            yield Static("\n".join(lines), classes="said", markup=False)
            yield Toggle("x", "end open connections; else they go on as they are", "reset")
            yield Static("Enter release   Escape cancel", classes="keys", markup=False)

    def action_switch(self) -> None:
        """Keep connections, or end them."""
        self.query_one(Toggle).action_switch()

    def action_release(self) -> None:
        """Let them go."""
        existing: protocol.Existing = "reset" if self.query_one(Toggle).value else "keep"
        self.dismiss(protocol.Release(ids=[a.id for a in self._assignments], existing=existing))

    def _line(self, assignment: Assignment) -> str:
        count = self._counts.get(assignment.id, 0)
        many = f"{count} process{'es' if count != 1 else ''}"
        command = printable(assignment.command)[:40]
        return f"  {words.tag(assignment):>4} on {printable(assignment.called)}, {many}  {command}"
