"""What a person changes: asks where to, asks the daemon, and says what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute.terminal import printable
from procroute_tui import launching
from procroute_tui.model import changes, words

if TYPE_CHECKING:
    from procroute_tui.app import Tui


class Changer:
    """Of one application. Remembers what takes the last change back."""

    def __init__(self, app: Tui) -> None:
        self._app = app
        self._undo: changes.Undo | None = None

    async def assign(self) -> None:
        """Choose a way out for what is chosen."""
        from procroute_tui.screens.assign import AssignDialog

        app, machine = self._app, self._app.machine
        pids = app.targets()
        if not pids:
            app.say("no process is chosen", wrong=True)
            return
        now = {a.adapter for a in changes.assignments_of(machine, pids)}
        who = changes.named(machine, pids)
        used = now.pop() if len(now) == 1 else ""
        request = await app.answer(AssignDialog(pids, who, machine.adapters, used))
        if request is not None:
            await self._change(request, changes.before(machine, self._meant(request)))

    async def release(self) -> None:
        """Let go the assignments of what is chosen."""
        from procroute_tui.screens.release import ReleaseDialog

        app, machine = self._app, self._app.machine
        found = changes.assignments_of(machine, app.targets())
        if not found:
            app.say("what is chosen is on no route", wrong=True)
            return
        counts = {a.id: len(machine.members.get(a.id, ())) for a in found}
        request = await app.answer(ReleaseDialog(found, counts))
        if request is not None:
            pids = [pid for a in found for pid in sorted(machine.members.get(a.id, ()))]
            await self._change(request, changes.before(machine, pids))

    async def undo(self) -> None:
        """Take the last change back; once more does it again."""
        app, machine = self._app, self._app.machine
        undo, self._undo = self._undo, None
        if undo is None:
            app.say("there is nothing to undo", wrong=True)
            return
        if undo.lost:
            app.say(f"cannot be restored: {printable(undo.lost)}", wrong=True)
        app.say(f"undo: {printable(undo.title)}")
        # What is changed by several requests is taken back by what takes back the last of them first.
        back: list[protocol.Assign | protocol.Release] = []
        for request in undo.requests:
            was = changes.before(machine, self._meant(request))
            if not await self._change(request, was):
                break
            if self._undo is not None:
                back = [*self._undo.requests, *back]
        if back:
            self._undo = changes.Undo(f"the undoing of {undo.title}", tuple(back))

    async def launch(self) -> None:
        """Start a command on a route."""
        from procroute_tui.screens.launch import LaunchDialog

        app = self._app
        launch = await app.answer(LaunchDialog(app.machine.adapters, app.hand_over))
        if launch is None:
            return
        try:
            if launch.here:
                status = app.run_here(launch)
                app.say(f"{launch.shown} has ended with {status}", wrong=status != 0)
                return
            path = await launching.in_background(launch, launching.outputs())
        except ProcrouteError as e:
            app.refuse(e)
            return
        app.say(f"{launch.shown} runs on {printable(launch.adapter)}\nits output: {printable(str(path))}")

    async def _change(self, request: protocol.Assign | protocol.Release, was: changes.Before) -> bool:
        app = self._app
        reply = await app.change(
            request, "assigning" if isinstance(request, protocol.Assign) else "releasing"
        )
        if reply is None:
            return False
        self._undo = changes.undo(app.machine, was, reply)
        app.unmark()
        app.say("\n".join(words.changed(reply)))
        return True

    def _meant(self, request: protocol.Assign | protocol.Release) -> list[int]:
        """The processes that a request changes, as far as they are known."""
        machine = self._app.machine
        if isinstance(request, protocol.Release):
            return [pid for number in request.ids for pid in sorted(machine.members.get(number, ()))]
        if not request.tree:
            return list(request.pids)
        found = dict.fromkeys(request.pids)
        children: dict[int, list[int]] = {}
        for process in machine.processes.values():
            children.setdefault(process.parent, []).append(process.pid)
        waiting = list(found)
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in found:
                    found[child] = None
                    waiting.append(child)
        return list(found)
