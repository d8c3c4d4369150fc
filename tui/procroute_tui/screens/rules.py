"""All rules in the order in which they are asked, what they do now, and what is wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute_tui.model.rules import RuleBook, RuleRow, sections
from procroute_tui.rule_files import doubts_of
from procroute_tui.widgets.adapters import STYLES
from procroute_tui.widgets.keys import KeyLine
from procroute_tui.widgets.rule_table import RuleHeading, RuleTable
from procroute_tui.widgets.sections import drawn
from procroute_tui.widgets.top import Banner

if TYPE_CHECKING:
    from procroute_tui.app import Tui

_COUNT: Final = 0.5
"""Seconds between two looks at who is placed by what, which costs next to nothing."""
_RETRY: Final = 2.0
_FINDINGS: Final = 4
"""So many lines are said of what is wrong with files."""


_SPARE: Final = ("screen.reload", "screen.details", "screen.processes", "screen.apply", "screen.remove")
"""Keys that are left out of the last line where it is short, the first of them first."""


def _key(key: str, action: str, text: str, *, shown: str = "", show: bool = True) -> Binding:
    """With priority, as on the main screen: it has been handled when the next one comes."""
    return Binding(key, f"screen.{action}", text, key_display=shown or None, show=show, priority=True)


class RulesScreen(Screen[None]):
    """Leaves by Escape. tui: the application whose daemon it asks, and which keeps the rule book."""

    DEFAULT_CSS = """
    RulesScreen { layout: vertical; background: $background; }
    RulesScreen > .top {
        height: 1; background: $panel; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis;
    }
    RulesScreen > .findings {
        height: auto; max-height: 8; padding: 0 1; display: none;
        background: $warning 20%; color: $foreground;
    }
    RulesScreen > #middle { height: 1fr; layout: vertical; }
    RulesScreen.wide > #middle { layout: horizontal; }
    RulesScreen #rules { height: 1fr; width: 1fr; }
    RulesScreen #details {
        display: none; background: $surface; padding: 0 1; height: 50%; width: 1fr;
        border-top: solid $panel; scrollbar-size-vertical: 1;
    }
    RulesScreen #details.shown { display: block; }
    RulesScreen #details:focus { border-top: solid $accent; }
    RulesScreen.wide #details { height: 1fr; width: 38%; border-top: none; border-left: solid $panel; }
    RulesScreen.wide #details:focus { border-top: none; border-left: solid $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        _key("e,space", "switch", "On/off"),
        _key("x,delete", "remove", "Remove"),
        _key("a", "apply", "Apply"),
        _key("p", "processes", "Processes"),
        _key("enter,d", "details", "Info", shown="⏎"),
        _key("r", "reload", "Reload"),
        _key("question_mark", "help", "Help", shown="?"),
        _key("escape,b,q", "leave", "Back", shown="Esc"),
    ]

    def __init__(self, tui: Tui) -> None:
        super().__init__()
        self._tui = tui
        self._book: RuleBook = tui.rule_book
        self.table = RuleTable(tui.user_name)
        self.table.empty = "there are no rules: R makes one of a process"
        self._top, self._findings, self._banner = Static(markup=False), Static(markup=False), Banner()
        self._heading = RuleHeading(self.table)
        self._text = Static(markup=False)
        self._details = VerticalScroll(self._text, id="details")
        self._told: object = None

    def compose(self) -> ComposeResult:
        """From the top."""
        self._top.add_class("top")
        self._findings.add_class("findings")
        yield self._top
        yield self._banner
        yield self._findings
        with Container(id="middle"):
            with Container(id="rules"):
                yield self._heading
                yield self.table
            yield self._details
        yield KeyLine(self.BINDINGS, _SPARE)

    def on_mount(self) -> None:
        """Ask, and go on doing so on news."""
        self.set_focus(self.table)
        self._tui.rules_news.set()
        self._show()
        self.run_worker(self._follow(), name="rules")
        self.set_interval(_COUNT, self._count)

    def on_resize(self) -> None:
        """Details have room beside the table, or have not."""
        self.set_class(self.size.width >= 120, "wide")
        self.call_after_refresh(self._show_details)

    # --- what is shown

    async def _follow(self) -> None:
        tui = self._tui
        while True:
            await tui.rules_news.wait()
            tui.rules_news.clear()
            try:
                told = await tui.daemon.ask(protocol.Rules())
            except ProcrouteError:  # that the daemon has gone is told by its events, and the banner
                await asyncio.sleep(_RETRY)
                tui.rules_news.set()
                continue
            self._book.take(told, tui.machine)
            self._show()
            self._book.doubts = await asyncio.to_thread(doubts_of, told.rules)
            self._count()

    def _count(self) -> None:
        """Who is placed by what changes without news of rules."""
        if self._book.count(self._tui.machine):
            self._show()
        elif self._tui.trouble is not self._told:
            self._show_trouble()

    def _show(self) -> None:
        self._top.update(
            Content.assemble(("rules", "bold $accent"), (f"  {self._book.summary()}", STYLES["dim"]))
        )
        found = list(self._book.findings())
        if len(found) > _FINDINGS:
            found = [*found[: _FINDINGS - 1], f"and {len(found) - _FINDINGS + 1} more: procroute rules check"]
        self._findings.display = bool(found)
        self._findings.update(Content("\n".join(f"! {text}" for text in found)))
        self._show_trouble()
        if self._book.told is not None:
            self.table.show(self._book.rows)

    def _show_trouble(self) -> None:
        self._told = self._tui.trouble
        self._banner.show(self._tui.trouble, known=self._book.told is not None)
        self.table.set_class(self._tui.trouble is not None, "stale")
        self.table.notify_style_update()

    def on_rule_table_laid_out(self) -> None:
        """Titles stand above their columns."""
        self._heading.refresh()

    def on_rule_table_moved(self) -> None:
        """Details are of another rule."""
        self._show_details()

    def _show_details(self) -> None:
        row = self.table.chosen
        if self._details.has_class("shown") and row is not None:
            room = max(self._details.size.width - 3, 20)
            self._text.update(drawn(sections(row, self._tui.machine, self._tui.user_name), room))

    # --- keys

    async def action_switch(self) -> None:
        """On or off."""
        await self._change(self._tui.rule_changer.switch, asks=False)

    async def action_remove(self) -> None:
        """After a question."""
        await self._change(self._tui.rule_changer.remove)

    async def action_apply(self) -> None:
        """To what runs already, after a question."""
        await self._tui.start(self._tui.rule_changer.apply)

    async def action_reload(self) -> None:
        """Have the daemon read all again."""
        await self._tui.start(self._tui.rule_changer.reload, asks=False)

    def action_details(self) -> None:
        """Open them, or close them."""
        self._details.toggle_class("shown")
        self.set_focus(self.table)
        self.call_after_refresh(self._show_details)

    def action_processes(self) -> None:
        """Those that the chosen rule has placed, on the main screen."""
        row = self.table.chosen
        if row is None:
            return
        if not row.placed:
            self._tui.say("nobody is on a route by this rule now", wrong=True)
            return
        self.dismiss(None)
        self._tui.filter_by(self._book.filter_for(row.rule.place))

    async def action_help(self) -> None:
        """Every key."""
        from procroute_tui.screens.help import HelpDialog

        await self._tui.push_screen(HelpDialog())

    def action_leave(self) -> None:
        """Close the details, else go back to the processes."""
        if self._details.has_class("shown"):
            self.action_details()
        else:
            self.dismiss(None)

    async def _change(
        self, change: Callable[[RuleRow], Coroutine[None, None, None]], *, asks: bool = True
    ) -> None:
        row = self.table.chosen
        if row is None:
            self._tui.say("there is no rule", wrong=True)
            return
        await self._tui.start(lambda: change(row), asks=asks)
