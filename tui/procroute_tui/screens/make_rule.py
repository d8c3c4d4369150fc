"""A rule out of a process: by what it is known, which way, and what will be written where."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec import Struct
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, OptionList, Static

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute.rulebook.shape import WrittenRule
from procroute.terminal import printable
from procroute_tui.model import changes, making
from procroute_tui.model.making import Matcher
from procroute_tui.model.rules import short
from procroute_tui.rule_files import rule_file
from procroute_tui.screens.dialog import Dialog
from procroute_tui.widgets.entry import Entry
from procroute_tui.widgets.rule_text import RuleText
from procroute_tui.widgets.toggle import Toggle
from procroute_tui.widgets.way_choice import WayChoice

if TYPE_CHECKING:
    from procroute_tui.app import Tui

_STILL: Final = 0.15
"""Seconds that a choice rests before the daemon is asked whom it would match."""
_BELOW: Final = 5
"""Lines of the box that are neither for what is chosen nor for the text of the rule."""
_LOW: Final = 30
"""Where a screen has fewer lines all is as short as can be."""


class Made(Struct, frozen=True):
    """A rule that was added. runs: somebody whom it matches runs already."""

    reply: protocol.Edited
    runs: bool


class MakeRuleDialog(Dialog[Made]):
    """Adds the rule itself, so that what is refused can be mended; gives what was added.

    found: what the process can be known by; ways: routes of other rules; now: the rule that holds for it.
    """

    DEFAULT_CSS = """
    MakeRuleDialog > .box { width: 92; padding: 0 1; }
    MakeRuleDialog .form { height: auto; scrollbar-size-vertical: 1; }
    MakeRuleDialog OptionList, MakeRuleDialog OptionList:focus {
        margin: 0; max-height: 5; background: $background;
    }
    MakeRuleDialog OptionList > .option-list--option-highlighted { background: $primary-muted; }
    MakeRuleDialog .options { height: 1; }
    MakeRuleDialog .options Toggle { width: auto; margin: 0 3 0 0; }
    MakeRuleDialog Input, MakeRuleDialog Input:focus {
        height: 1; border: none; padding: 0 1; margin: 0; background: $panel;
    }
    MakeRuleDialog Input:focus { background: $primary 25%; }
    MakeRuleDialog .whom { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    MakeRuleDialog.high OptionList, MakeRuleDialog.high OptionList:focus { margin: 1 0; max-height: 12; }
    MakeRuleDialog.high RuleText, MakeRuleDialog.high .keys { margin: 1 0 0 0; }
    MakeRuleDialog .wrong, MakeRuleDialog .keys { margin: 0; max-height: 4; }
    """
    AUTO_FOCUS = "WayChoice"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "add", "Add", priority=True),
        Binding("up", "way(-1)", "Way", priority=True),
        Binding("down", "way(1)", "Way", priority=True),
        *(Binding(str(n), f"tick({n})", f"Condition {n}", priority=True) for n in range(1, 10)),
        Binding("s", "switch('strict')", "Strict", priority=True),
        Binding("d", "switch('main')", "When down", priority=True),
        Binding("x", "switch('reset')", "Reset", priority=True),
        Binding("p", "switch('passing')", "Passing", priority=True),
        Binding("c", "comment", "Comment", priority=True),
    ]

    def __init__(self, tui: Tui, pid: int, found: list[Matcher], ways: list[str], now: str) -> None:
        super().__init__()
        self._tui, self._pid, self._found, self._now = tui, pid, found, now
        adapters = tui.machine.adapters
        names = {adapter.name for adapter in adapters}
        self._ways = WayChoice(adapters, [way for way in ways if way not in names])
        self._toggles = {
            "strict": Toggle("s", "strict", "strict"),
            "main": Toggle("d", "main if down", "main"),
            "reset": Toggle("x", "end connections", "reset"),
            "passing": Toggle("p", "till next boot", "passing"),
        }
        for number, matcher in enumerate(found, 1):
            toggle = Toggle(str(number), f"{matcher.key:<8} {printable(matcher.value)}", matcher.key)
            toggle.set_reactive(Toggle.value, matcher.chosen)
            self._toggles[matcher.key] = toggle
        self._comment = Entry(placeholder="c  comment", max_length=200)
        self._chosen = asyncio.Event()
        self._adding = False
        self._whom = Static(markup=False, classes="whom")
        self._wrong = Static(markup=False, classes="wrong")
        self._text = RuleText()
        self._form = VerticalScroll(classes="form", can_focus=False)

    def compose(self) -> ComposeResult:
        """Who, which way, and what comes of it."""
        with Vertical(classes="box") as box:
            who = changes.named(self._tui.machine, [self._pid])
            box.border_title = f"a rule of {printable(who)}: what is ticked must hold"
            with self._form:
                yield from (self._toggles[matcher.key] for matcher in self._found)
                yield self._ways
                with Horizontal(classes="options"):
                    yield from (self._toggles[name] for name in ("strict", "main", "reset", "passing"))
                yield self._comment
            yield self._text
            yield self._whom
            yield self._wrong
            keys = "Enter add   Escape cancel   ↑ ↓ way   c comment"
            yield Static(keys, classes="keys", markup=False)

    def on_mount(self) -> None:
        """Show what it comes to so far."""
        super().on_mount()
        for toggle in self._toggles.values():
            self.watch(toggle, "value", self._choose, init=False)
        self._fit()
        self._choose()
        self.run_worker(self._match(), name="match")

    def on_resize(self) -> None:
        """What is chosen scrolls where there is no room for all of it."""
        self._fit()

    def _fit(self) -> None:
        height = self.app.size.height
        self.set_class(height >= _LOW, "high")
        text = 4 if height < _LOW else 12
        self._text.styles.max_height = text
        self._form.styles.max_height = max(height * 94 // 100 - _BELOW - text, 3)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where a comment is typed keys are its letters."""
        typed = isinstance(self.focused, Input) and action in {"tick", "switch", "comment"}
        return False if typed else super().check_action(action, parameters)

    # --- what is chosen

    def action_tick(self, number: int) -> None:
        """A condition holds, or need not."""
        if number <= len(self._found):
            self.action_switch(self._found[number - 1].key)

    def action_switch(self, name: str) -> None:
        """Switch an option."""
        toggle = self._toggles[name]
        toggle.action_switch()
        toggle.scroll_visible(animate=False)

    def action_way(self, step: int) -> None:
        """The next way, also while a comment is typed."""
        (self._ways.action_cursor_down if step > 0 else self._ways.action_cursor_up)()

    def action_comment(self) -> None:
        """Type it; Enter adds the rule."""
        self.set_focus(self._comment)

    @on(OptionList.OptionHighlighted)
    @on(Input.Changed)
    def _choose(self) -> None:
        """Something else is chosen."""
        self._wrong.display = False
        self._preview()
        self._chosen.set()

    def _value(self, name: str) -> bool:
        return self._toggles[name].value

    def _rule(self) -> tuple[WrittenRule, str]:
        """What is chosen, and its text. Raises ProcrouteError rule-bad where it makes no sense."""
        chosen = {m.key: m.value for m in self._found if self._value(m.key)}
        way = self._ways.way
        if way is None:
            raise ProcrouteError("rule-bad", "no way is chosen", "choose one by ↑ and ↓")
        comment = self._comment.value.strip()
        try:
            rule = making.written(
                chosen,
                way,
                strict=self._value("strict"),
                main=self._value("main"),
                reset=self._value("reset"),
                comment=comment,
            )
        except msgspec.ValidationError as e:
            raise ProcrouteError("rule-bad", str(e)) from e
        return rule, making.text_of(rule)

    def _preview(self) -> None:
        try:
            _, text = self._rule()
        except ProcrouteError as e:
            self._refuse(e)
            text = ""
        self._text.show(rule_file(passing=self._value("passing")), text)

    # --- what the daemon says

    async def _match(self) -> None:
        while True:
            await self._chosen.wait()
            await asyncio.sleep(_STILL)
            self._chosen.clear()
            try:
                rule, _ = self._rule()
                reply = await self._tui.daemon.ask(protocol.MatchRule(rule=rule))
            except ProcrouteError as e:
                if not self._chosen.is_set():
                    self._whom.update("")
                    self._refuse(e)
                continue
            now = f"; now it meets {short(self._now)}" if self._now else ""
            if any(m.at_start and self._value(m.key) for m in self._found):
                now = ": scripts are known by their path only as they start" + now
            self._whom.update(f"matches {making.named(self._tui.machine, reply)}{now}")

    async def action_add(self) -> None:
        """Have it written; what is refused is said, and can be mended."""
        if self._adding:
            return
        self._adding = True
        try:
            await self._comment.settle()
            rule, _ = self._rule()
            request = protocol.AddRule(rule=rule, passing=self._value("passing"))
            reply = await self._tui.daemon.change(request)
            found = await self._tui.daemon.ask(protocol.MatchRule(rule=rule))
        except ProcrouteError as e:
            self._refuse(e)
            return
        finally:
            self._adding = False
        self.dismiss(Made(reply, bool(found.pids) and bool(self._ways.way)))

    def _refuse(self, error: ProcrouteError) -> None:
        hint = f" ({printable(error.hint)})" if error.hint else ""
        self._wrong.update(f"! {printable(error.message)}{hint}")
        self._wrong.display = True
