"""What a person changes about rules: asks where that is due, has the daemon do it, says what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute.terminal import printable
from procroute_tui.model import changes, rules
from procroute_tui.model.details import Section, route_lines
from procroute_tui.model.rules import RuleRow

if TYPE_CHECKING:
    from procroute_tui.app import Tui


class RuleChanger:
    """Of one application."""

    def __init__(self, app: Tui) -> None:
        self._app = app

    async def show(self) -> None:
        """All rules, on a screen of their own."""
        from procroute_tui.screens.rules import RulesScreen

        await self._app.push_screen(RulesScreen(self._app))

    async def why(self) -> None:
        """Which rule holds for the chosen process, and why earlier ones do not."""
        from procroute_tui.screens.why import WhyDialog

        app = self._app
        pid = self._chosen()
        if pid not in app.machine.processes:
            app.say("no process is chosen", wrong=True)
            return
        try:
            tried = await app.daemon.ask(protocol.TryRules(pid=pid))
        except ProcrouteError as e:
            app.refuse(e)
            return
        now = Section("now", list(route_lines(app.machine, app.user_name, pid)))
        await app.answer(WhyDialog(changes.named(app.machine, [pid]), now, tried.rules))

    async def make(self) -> None:
        """A rule out of the chosen process."""
        from procroute_tui.model import making
        from procroute_tui.screens.make_rule import MakeRuleDialog

        app = self._app
        pid = self._chosen()
        if not pid or app.machine.is_thread(pid):
            app.say("no process is chosen", wrong=True)
            return
        executable, now = await self._known(pid)
        if pid not in app.machine.processes:
            app.say(f"the process {pid} has ended", wrong=True)
            return
        found = making.matchers(app.machine, app.user_name, pid, executable)
        dialog = MakeRuleDialog(app, pid, found, self._app.rule_book.ways(), now)
        made = await app.answer(dialog)
        if made is None:
            return
        app.say(f"added: {_said(made.reply.rule)}\nb shows all rules{_notes(made.reply)}")
        if made.runs:
            await self.apply()

    async def _known(self, pid: int) -> tuple[str, str]:
        """What it runs, and the rule that holds for it; empty where that is not told."""
        daemon = self._app.daemon
        try:
            inspected = await daemon.ask(protocol.Inspect(pid=pid))
            tried = await daemon.ask(protocol.TryRules(pid=pid))
            self._app.rule_book.take(await daemon.ask(protocol.Rules()), self._app.machine)
        except ProcrouteError:  # of others' processes little is told; what may not be is refused later
            return "", ""
        return inspected.executable, next((one.rule.place for one in tried.rules if not one.why), "")

    async def switch(self, row: RuleRow) -> None:
        """On or off."""
        edit = protocol.EditRule(rule=row.rule.place, edit="disable" if row.rule.enabled else "enable")
        await self._edit(edit, "switched off" if row.rule.enabled else "switched on")

    async def remove(self, row: RuleRow) -> None:
        """After a question."""
        from procroute_tui.screens.rule_questions import RemoveRuleDialog

        if await self._app.answer(RemoveRuleDialog(row)):
            await self._edit(protocol.EditRule(rule=row.rule.place, edit="remove"), "removed")

    async def apply(self) -> None:
        """Have rules take what runs already, after a question."""
        from procroute_tui.screens.rule_questions import ApplyRulesDialog

        request = await self._app.answer(ApplyRulesDialog())
        if request is None:
            return
        reply = await self._changed(request, "applying")
        if reply is not None:
            one = reply.placed == 1
            said = [
                f"{reply.placed} process{'' if one else 'es'} {'is' if one else 'are'} on a rule's route now"
            ] * bool(reply.placed)
            said += [f"{reply.released} let go"] * bool(reply.released)
            self._app.say(", ".join(said) or "nothing had to move")

    async def reload(self) -> None:
        """Have the daemon read the configuration and the rules again."""
        reply = await self._changed(protocol.Reload(), "reading")
        if reply is not None:
            notes = "".join(f"\n{printable(note)}" for note in reply.notes)
            self._app.say(f"the configuration and the rules were read again{notes}")

    def _chosen(self) -> int:
        """The PID of the chosen process, or the first of the chosen unit; 0: none."""
        return next(iter(self._app.processes_of(self._app.table.choose())), 0)

    async def _edit(self, request: protocol.EditRule, done: str) -> None:
        reply = await self._changed(request, "changing a rule")
        if reply is not None:
            self._app.say(f"{done}: {_said(reply.rule)}{_notes(reply)}")

    async def _changed(self, request: protocol.Request, busy: str) -> Any:
        """As the application's `change`. Rules may be others then, also where it was refused."""
        try:
            return await self._app.change(request, busy)
        finally:
            self._app.rules_news.set()


def _said(rule: protocol.RuleFacts) -> str:
    return f"{rules.short(rule.place)}: {rules.who(rule)}: {rules.way(rule)}"


def _notes(reply: protocol.Edited) -> str:
    """What of the rules does not hold, of this one."""
    found = [note for note in reply.notes if note.startswith(f"{reply.rule.place}:")]
    return "".join(f"\n! {printable(note)}" for note in found)
