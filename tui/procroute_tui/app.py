"""The application: takes what the daemon tells, shows it, and passes on what a person wants."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute_tui import settings as kept
from procroute_tui.changing import Changer
from procroute_tui.link import Daemon, Gone
from procroute_tui.looking import Looker
from procroute_tui.model.columns import Users
from procroute_tui.model.listing import Listing
from procroute_tui.model.machine import Machine
from procroute_tui.rule_changing import RuleChanger
from procroute_tui.ruling import Ruling
from procroute_tui.seeing import KEYS, SPARE, key
from procroute_tui.themes import THEMES
from procroute_tui.widgets.adapters import AdapterBar
from procroute_tui.widgets.filter import FilterBar
from procroute_tui.widgets.heading import Heading
from procroute_tui.widgets.keys import KeyLine
from procroute_tui.widgets.pane import Pane
from procroute_tui.widgets.table import Table
from procroute_tui.widgets.top import Banner, Top

_APART: Final = 0.2
"""Seconds between two drawings at least, however much happens."""
_OF_ADAPTERS: Final = (
    *(protocol.AdaptersChanged, protocol.HealthChanged, protocol.Switched),
    *(protocol.Added, protocol.Removed, protocol.Repaired),
)
"""After these events adapters may be others, or be used by other routes."""
_WIDE: Final = 120
"""From so many cells on details are beside the table."""


class Tui(Ruling):
    """Ends with an error where it cannot go on.

    users: names of uids; place: of the settings, None: nowhere.
    """

    TITLE = "procroute"
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    #middle { height: 1fr; layout: vertical; }
    .wide #middle { layout: horizontal; }
    .wide Pane { height: 1fr; width: 38%; border-top: none; border-left: solid $panel; }
    .wide Pane:focus { border-top: none; border-left: solid $accent; }
    #rows { height: 1fr; width: 1fr; }
    Toast { max-width: 76; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("a", "assign", "Assign"),
        key("r", "release", "Release"),
        key("u", "undo", "Undo"),
        key("R", "rule", "Rule"),
        *KEYS,
        key("question_mark", "help", "Help", shown="?"),
        key("q", "end", "Quit"),
    ]

    def __init__(self, daemon: Daemon, users: Users, settings: kept.Settings, place: Path | None) -> None:
        super().__init__()
        self.daemon = daemon
        self.machine = Machine()
        self.listing = Listing(self.machine, users)
        self.listing.reshape(settings.shape())
        self.first_paint: Callable[[], None] = lambda: None
        self._settings, self._place, self.user_name = settings, place, users
        self.changer, self.rule_changer, self._looker = Changer(self), RuleChanger(self), Looker(self)
        self.trouble: ProcrouteError | None = None
        self.picture = ""
        self._known = False
        self._drawn = 0.0
        self._waiting = False
        self._completing = asyncio.Lock()
        for theme in THEMES:
            self.register_theme(theme)

    # --- beginning and end

    def compose(self) -> ComposeResult:
        """From the top."""
        self.table = Table(self.listing)
        self.table.wanted = self._settings.columns
        self.heading, self.filter_bar, self.keys = (
            Heading(self.table),
            FilterBar(),
            KeyLine(self.BINDINGS, SPARE),
        )
        self.pane = Pane(self.machine, self.user_name)
        self.top, self.banner, self.adapters = Top(self.listing), Banner(), AdapterBar(self.machine)
        yield self.top
        yield self.banner
        yield self.adapters
        with Container(id="middle"):
            with Container(id="rows"):
                yield self.heading
                yield self.table
        yield self.keys

    def on_mount(self) -> None:
        """Listen."""
        gc.disable()  # until all is there
        known = self.available_themes
        self.theme = self._settings.theme if self._settings.theme in known else kept.DARK
        self.table.focus()
        self.draw()
        self.run_worker(self._listen(), name="listen")
        self.run_worker(self._looker.adapters(), name="adapters")
        self.run_worker(self._looker.sockets(), name="sockets")
        self.run_worker(self._looker.details(), name="details")

    def on_resize(self, event: events.Resize) -> None:
        """Details have room beside the table, or have not."""
        self.screen_stack[0].set_class(event.size.width >= _WIDE, "wide")
        self._make_room()

    @on(Table.LaidOut)
    def _columns_are_others(self) -> None:
        self.heading.refresh()

    async def on_unmount(self) -> None:
        """Keep what was chosen."""
        if self._place is not None:
            shape = self.listing.shape
            now = kept.Settings(
                shape.view, shape.sort, shape.descending, shape.routed, shape.threads,
                self.pane.has_class("shown"), self.table.wanted, self.theme,
            )  # fmt: skip
            if now != self._settings:
                kept.write(self._place, now)
        await self.daemon.close()

    # --- what the daemon tells

    async def complete(self) -> None:
        """What is not seen at first, and would hold the first picture up."""
        async with self._completing:
            if self.pane.is_attached or not self.table.is_attached:
                return  # or it ends just now
            await self.mount(self.filter_bar, before=self.keys)
            self.pane.set_class(self._settings.details, "shown")
            await self.query_one("#middle").mount(self.pane)
            self.look()
            # What is there now mostly stays: looking through all of it, again and again, holds keys up.
            gc.freeze()
            gc.enable()

    async def _listen(self) -> None:
        async for told in self.daemon.told():
            if not self.pane.is_attached:
                self.call_after_refresh(self.complete)
            if isinstance(told, Gone):
                self._show_error(told.error)
                continue
            if isinstance(told, protocol.Watching):
                self._show_error(None)
                self._known = True
                self._looker.again.set()
            if isinstance(told, protocol.Watching | protocol.RulesChanged):
                self.rules_news.set()
            changes = self.machine.take(told)
            if self.pane.has_class("shown") and not isinstance(told, protocol.Processes):
                self.pane.show()
            if isinstance(told, _OF_ADAPTERS):
                self._looker.again.set()
            if self.listing.take(changes) or changes.everything:
                self.draw_soon()
                if changes.everything:
                    self.draw()
                    self.call_after_refresh(self.first_paint)
            elif changes.rates:
                self._draw_rates()
            elif changes.pids:
                self.table.touch(changes.pids)

    def _show_error(self, error: ProcrouteError | None) -> None:
        self.trouble = error
        self.banner.show(error, known=self._known)
        self.table.set_class(error is not None, "stale")
        self.table.notify_style_update()
        self.adapters.stale = error is not None
        self.adapters.show()

    def _draw_rates(self) -> None:
        machine = self.machine
        self.table.touch(machine.leader(number) for number in tuple(machine.assignments))
        if self.listing.shape.view == "unit":
            self.table.refresh()
        self.adapters.show()

    def draw_soon(self) -> None:
        """Draw what has changed, with what else changes meanwhile."""
        if self._waiting:
            return
        wait = self._drawn + _APART - time.monotonic()
        if wait <= 0:
            self.draw()
            return
        self._waiting = True
        self.set_timer(wait, self.draw)

    def draw(self) -> None:
        """Draw what there is now."""
        self._waiting, self._drawn = False, time.monotonic()
        self.table.marked &= self.machine.processes.keys()
        self.heading.shape = self.listing.shape
        self.heading.refresh()
        self.table.show_rows()
        self.adapters.show()
        self.top.show(len(self.table.marked), self._busy)

    def look(self) -> None:
        """The details that are shown are of another process, or shall be."""
        self._looker.chosen.set()
        self._make_room()

    def _make_room(self) -> None:
        """For details below the table adapters have a line each."""
        self.adapters.brief = self.pane.has_class("shown") and self.size.width < _WIDE
        self.adapters.show()

    # --- what is chosen

    def targets(self) -> list[int]:
        """The marked processes, else the chosen one, else those of the chosen unit."""
        if self.table.marked:
            return sorted(self.table.marked)
        return self.processes_of(self.table.choose())

    def unmark(self) -> None:
        """No row is marked any more."""
        self.table.marked.clear()
        self.draw()
