"""The keys that change something, and what asks a person before that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen
from textual.worker import Worker, WorkerError

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute.terminal import printable
from procroute_tui.link import Daemon
from procroute_tui.screens.dialog import Answer, Dialog
from procroute_tui.seeing import Seeing
from procroute_tui.widgets.top import Top

if TYPE_CHECKING:
    from procroute_tui.changing import Changer


class Acting(Seeing):
    """The half of the application that asks, and has things done."""

    daemon: Daemon
    changer: Changer
    top: Top

    def __init__(self) -> None:
        super().__init__()
        self._opened = asyncio.Event()
        self._busy = ""
        self._ending = False

    # --- what is said

    def say(self, text: str, *, wrong: bool = False) -> None:
        """A few lines that go away by themselves."""
        self.notify(text, severity="warning" if wrong else "information", timeout=8, markup=False)

    def refuse(self, error: ProcrouteError) -> None:
        """Why something was not done, and what helps."""
        text = printable(error.message) + (f"\nhint: {printable(error.hint)}" if error.hint else "")
        self.notify(text, title="not done", severity="error", timeout=15, markup=False)

    def busy(self, what: str) -> None:
        """What is being done now; empty: nothing."""
        self._busy = what
        self.top.show(len(self.table.marked), what)

    # --- what is asked, of people and of the daemon

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Those of the palette: what keys do, and themes."""
        main = screen is self.screen_stack[0]
        for binding in self.BINDINGS if main else screen.BINDINGS:
            if isinstance(binding, Binding) and (main or binding.action.startswith("screen.")):
                typed = binding.key_display or " ".join(binding.key.split(","))
                yield SystemCommand(
                    binding.description, f"key: {typed}", partial(self._command, binding.action)
                )
        yield from (each for each in super().get_system_commands(screen) if each.title == "Theme")

    async def _command(self, action: str) -> None:
        await self.run_action(action)

    async def answer(self, dialog: Dialog[Answer]) -> Answer | None:
        """What a person answers; None: nothing is to be done. Keys typed ahead are for the dialog."""
        answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def take(answer: Answer | None) -> None:
            if not answered.done():
                answered.set_result(answer)

        await self.push_screen(dialog, take)
        self._opened.set()
        return await answered

    async def change(self, request: protocol.Request, busy: str) -> Any:
        """The daemon's reply to a change; None, and it is said, where that was refused."""
        self.busy(busy)
        try:
            return await self.daemon.change(request)
        except ProcrouteError as e:
            self.refuse(e)
            return None
        finally:
            self.busy("")

    # --- keys that change something

    async def action_assign(self) -> None:
        """Choose a way out."""
        await self.start(self.changer.assign)

    async def action_release(self) -> None:
        """Let go."""
        await self.start(self.changer.release)

    async def action_undo(self) -> None:
        """Take the last change back."""
        await self.start(self.changer.undo, asks=False, waits=True)

    async def action_launch(self) -> None:
        """Start a command."""
        await self.start(self.changer.launch)

    def action_end(self) -> None:
        """Quit; what is assigned stays so. What is being changed is first; again: at once."""
        changes = self._changes()
        if not changes or self._ending:
            self.exit()
            return
        self._ending = True
        self.say(f"still {self._busy or 'busy'}: quits right after; q again: at once")

        async def end() -> None:
            await _ends(changes)
            self.exit()

        self.run_worker(end())

    async def start(
        self, change: Callable[[], Coroutine[None, None, None]], *, asks: bool = True, waits: bool = False
    ) -> None:
        """One change at a time: what a change does must be known before the next.

        asks: it opens a dialog, which is waited for, or the next key would be for what is behind it.
        waits: it is done right after what is being changed now.
        """
        before = self._changes()
        if before and not waits:
            self.say(f"still {self._busy or 'busy'}", wrong=True)
            return

        async def changing() -> None:
            await _ends(before)
            try:
                await change()
            finally:
                self._opened.set()

        self._opened.clear()
        self.run_worker(changing(), name="change")
        if asks:
            await self._opened.wait()

    def _changes(self) -> list[Worker[object]]:
        """What changes something now, and what waits for that."""
        return [each for each in self.workers if each.name == "change" and not each.is_finished]


async def _ends(changes: Iterable[Worker[object]]) -> None:
    """Wait until none of them goes on, whatever has come of it."""
    for each in changes:
        with contextlib.suppress(WorkerError):
            await each.wait()
