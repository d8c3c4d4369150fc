"""What is asked before a rule is removed, and before rules take what runs already."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from procroute import protocol
from procroute.terminal import printable
from procroute_tui.model import rules
from procroute_tui.model.rules import RuleRow
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.toggle import Toggle


class RemoveRuleDialog(Dialog[bool]):
    """Gives True where it is to be removed."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "remove", "Remove", priority=True),
        Binding("n", "leave", "Cancel", priority=True),
    ]

    def __init__(self, row: RuleRow) -> None:
        super().__init__()
        self._row = row

    def compose(self) -> ComposeResult:
        """Which, and what becomes of who is placed by it."""
        rule = self._row.rule
        with Vertical(classes="box") as box:
            box.border_title = "remove a rule"
            lines = [f"This is taken out of its file, {printable(rule.place)}:", ""]
            lines.append(f"  {rules.who(rule)}: {rules.way(rule)}")
            if rule.comment:
                lines.append(f"  {printable(rule.comment)}")
            lines += ["", "Comments right above it go with it; `e` switches a rule off and keeps it."]
            if self._row.placed:
                lines.append(f"Who is on a route by it now ({self._row.placed}) stays there until released.")
            yield Static("\n".join(lines), classes="said", markup=False)
            yield Static("Enter remove   Escape cancel", classes="keys", markup=False)

    def action_remove(self) -> None:
        """Have it removed."""
        self.dismiss(True)


class ApplyRulesDialog(Dialog[protocol.ApplyRules]):
    """Gives the request."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "apply", "Apply", priority=True),
        Binding("n", "leave", "Cancel", priority=True),
        Binding("k", "switch('keep')", "Keep", priority=True),
        Binding("x", "switch('reset')", "Reset", priority=True),
    ]

    def compose(self) -> ComposeResult:
        """What is meant, and what becomes of open connections."""
        with Vertical(classes="box") as box:
            box.border_title = "apply rules to what runs already"
            yield Static(
                "Rules take what starts. Now all of them take what runs already, too, but for what a person "
                "has placed. Open connections go on or are ended as each rule says, or all:",
                classes="said",
                markup=False,
            )
            yield Toggle("k", "go on as they are", "keep")
            yield Toggle("x", "are ended", "reset")
            yield Static("Enter apply   Escape not now", classes="keys", markup=False)

    def action_switch(self, name: str) -> None:
        """One of both, or none."""
        chosen = self.query_one(f"#{name}", Toggle)
        chosen.action_switch()
        if chosen.value:
            self.query_one("#reset" if name == "keep" else "#keep", Toggle).value = False

    def action_apply(self) -> None:
        """Have them applied."""
        keep, reset = (self.query_one(f"#{name}", Toggle).value for name in ("keep", "reset"))
        self.dismiss(protocol.ApplyRules(existing="reset" if reset else "keep" if keep else None))
