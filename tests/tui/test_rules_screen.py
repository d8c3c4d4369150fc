"""The screen of rules: what it shows, and each of its keys."""

from __future__ import annotations

import time
from typing import Any

import pytest
from msgspec.structs import replace

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute_tui.model.machine import Machine
from procroute_tui.model.rules import RuleBook
from procroute_tui.screens.rules import RulesScreen
from procroute_tui.widgets.rule_table import RuleTable
from tests.tui.driving import Driver, driven
from tests.tui.fake_daemon import ASSIGNMENTS, NOW, PROCESSES, RULES, assignment, rule

promise = pytest.mark.promise
BY_RULE = replace(assignment(3, "wan1"), how="rule", rule=RULES[1].place)


async def opened(on: Driver, *more: str) -> RulesScreen:
    """The screen, with the rules of the daemon on it, and the cursor some rows down."""
    await on.press("b")
    await on.see("10-lines.toml:3", "5 rules")
    screen = on.app.screen
    assert isinstance(screen, RulesScreen)
    await on.press(*more)
    return screen


@promise("VIEW-20")
@driven(120, 36)
async def test_b_shows_all_rules_in_their_order(on: Driver) -> None:
    on.daemon.tell(protocol.Added(at=NOW, assignment=BY_RULE))
    screen = await opened(on)
    await on.see("5 rules · 1 off · 3 processes placed · starts of 3 files held")
    places = [word for word in on.screen().split() if ".toml:" in word]
    assert places == [one.place.rpartition("/")[2] for one in RULES]
    firefox = on.line("10-lines.toml:8")
    for text in ("2 ", "root", "exe /usr/lib/firefox/firefox", "wan1, strict", "held", " 3 "):
        assert text in firefox
    assert "off" in on.line("50-backups.toml:7")
    assert "ada" in on.line("90-added.toml:3")
    assert on.line("90-added.toml:3").split()[:2] == ["5", "!"]
    assert "direct" in on.line("10-lines.toml:3")
    await on.press("escape")
    await on.see("processes on a route")
    assert screen not in on.app.screen_stack


@promise("VIEW-20")
@driven()
async def test_enter_shows_what_a_rule_says_and_whom_it_has_placed(on: Driver) -> None:
    on.daemon.tell(protocol.Added(at=NOW, assignment=BY_RULE))
    await on.pilot.resize_terminal(120, 60)
    await opened(on, "down", "enter")
    await on.see("rule 2 ·", RULES[1].place, "nothing beside it", "answer: deny the start")
    assert "WHOSE" not in on.screen(), "titles stand above their columns"
    await on.see("placed by it now (3)", "2101 firefox")
    await on.press("G")
    await on.see("rule 5 ·", "there is no adapter vpn")
    await on.press("up")
    await on.see("switched off", "name ssh")
    await on.press("escape")
    await on.until(lambda: "rule 4 ·" not in on.screen())


@promise("VIEW-20")
@driven()
async def test_what_is_missing_is_doubted(on: Driver) -> None:
    on.daemon.rules = protocol.RuleList(rules=[rule(1, {"exe": ["/none/such"], "user": ["nobody-at-all"]})])
    await on.press("b")
    await on.until(lambda: on.line("/none/such").split()[2] == "?")
    await on.press("enter")
    await on.see("/none/such: there is no such program now", "there is no user nobody-at-all")


@promise("VIEW-21")
@driven()
async def test_changes_by_others_appear_by_themselves(on: Driver) -> None:
    await opened(on, "down", "down")
    made = rule(1, {"name": ["late"]}, file="05-new.toml")
    on.daemon.rules = protocol.RuleList(rules=[made, *RULES])
    on.daemon.tell(protocol.RulesChanged(at=NOW))
    await on.see("05-new.toml:1", "6 rules")
    assert on.line("▌").split()[2] == "50-backups.toml:1", "the cursor stays on its rule"
    on.daemon.rules = replace(on.daemon.rules, wrong="95-x.toml:2: exee is unknown; did you mean exe?")
    on.daemon.tell(protocol.RulesChanged(at=NOW))
    await on.see("! the files cannot be used: 95-x.toml:2")
    on.daemon.tell(protocol.Added(at=NOW, assignment=BY_RULE))
    await on.until(lambda: on.line("10-lines.toml:8").rstrip().endswith("3"))
    on.daemon.lose()
    await on.see("trying again.", "What you see is what was")
    assert on.app.screen.query_one(RuleTable).has_class("stale")
    on.daemon.tell(on.daemon.watching())
    await on.until(lambda: "trying again" not in on.screen())


@promise("VIEW-21")
@driven()
async def test_e_switches_a_rule_off_and_on(on: Driver) -> None:
    await opened(on, "e")
    await on.see("switched off: 10-lines.toml:3")
    await on.until(lambda: "off" in on.line("exe /usr/bin/zoom"))
    await on.press("space")
    await on.see("switched on: 10-lines.toml:3")
    place = RULES[0].place
    assert on.daemon.changes == [
        protocol.EditRule(rule=place, edit="disable"),
        protocol.EditRule(rule=place, edit="enable"),
    ]


@promise("VIEW-21")
@driven()
async def test_x_removes_a_rule_after_a_question(on: Driver) -> None:
    await opened(on, "down", "x")
    await on.see("taken out of its file", RULES[1].place, "nothing beside it")
    await on.press("escape")
    assert not on.daemon.changes
    await on.press("x", "enter")
    await on.see("removed: 10-lines.toml:8", "4 rules")
    assert on.daemon.changes == [protocol.EditRule(rule=RULES[1].place, edit="remove")]


@promise("VIEW-21")
@pytest.mark.parametrize(
    ("keys", "existing"), [((), None), (("x",), "reset"), (("k",), "keep"), (("k", "x"), "reset")]
)
def test_a_applies_rules_to_what_runs(keys: tuple[str, ...], existing: Any) -> None:
    @driven()
    async def test(on: Driver) -> None:
        await opened(on, "a")
        await on.see("all of them take what runs already")
        await on.press(*keys, "enter")
        await on.see("2 processes are on a rule's route now")
        assert on.daemon.changes == [protocol.ApplyRules(existing=existing)]

    test()


@promise("VIEW-21")
@driven()
async def test_r_has_the_daemon_read_again(on: Driver) -> None:
    await opened(on, "r")
    await on.see("read again", "packet_marks holds")
    assert on.daemon.changes == [protocol.Reload()]


@promise("VIEW-21")
@pytest.mark.parametrize("keys", [("e",), ("x", "enter"), ("a", "enter"), ("r",)], ids=lambda keys: keys[0])
def test_what_is_refused_is_told_with_the_hint(keys: tuple[str, ...]) -> None:
    def refuse(_: object) -> None:
        raise ProcrouteError("not-permitted", "that is not yours", "root may change all")

    @driven()
    async def test(on: Driver) -> None:
        for kind in (protocol.EditRule, protocol.ApplyRules, protocol.Reload):
            on.daemon.answers[kind] = refuse
        await opened(on, *keys)
        await on.see("that is not yours", "hint: root may change all")

    test()


@promise("VIEW-20")
@driven()
async def test_p_goes_to_the_processes_that_a_rule_has_placed(on: Driver) -> None:
    other = replace(assignment(5, "lte0~strict"), how="rule", rule=f"{RULES[1].place}1")
    on.daemon.tell(protocol.Added(at=NOW, assignment=BY_RULE), protocol.Added(at=NOW, assignment=other))
    await opened(on, "p")
    await on.see("nobody is on a route by this rule now")
    await on.press("down")
    await on.until(lambda: on.line("10-lines.toml:8").rstrip().endswith("3"))
    await on.press("p")
    await on.until(lambda: on.app.listing.shape.filter == "10-lines.toml:8:")
    await on.see("firefox", "Web Content")
    assert sorted(on.app.listing.rows) == [2101, 2160, 2161]
    await on.press("escape")
    await on.see("bash")


@promise("VIEW-20")
@driven()
async def test_the_palette_has_the_keys_of_the_screen(on: Driver) -> None:
    await opened(on)
    await on.press("ctrl+p", *"reload")
    await on.see("key: r")
    await on.press("enter")
    await on.until(lambda: on.daemon.changes == [protocol.Reload()])


@promise("VIEW-20")
@driven()
async def test_help_and_clicks_on_the_keys_work(on: Driver) -> None:
    await opened(on, "question_mark")
    await on.see("help", "mark")
    await on.press("escape")
    x = on.screen().splitlines()[-1].index("Reload")
    await on.pilot.click(offset=(x, 23))
    await on.until(lambda: on.daemon.changes == [protocol.Reload()])
    await on.pilot.click(offset=(5, 5))
    await on.until(lambda: on.line("▌").split()[1] != "1")


@promise("VIEW-20")
@driven()
async def test_without_rules_that_is_said(on: Driver) -> None:
    on.daemon.rules = protocol.RuleList(rules=[])
    await on.press("b")
    await on.see("there are no rules: R makes one")
    for key, what in (("e", "there is no rule"), ("x", "there is no rule")):
        await on.press(key)
        await on.see(what)


@promise("VIEW-06", "VIEW-20")
@driven(40, 12)
async def test_on_a_small_screen_the_least_important_is_left_out(on: Driver) -> None:
    await on.press("b")
    await on.see("exe /usr/bin/zoo", "direct", "NOW", "WAY", "Help Esc Back")
    assert "WHOSE" not in on.screen()
    assert on.line("user ben").split()[0] == "–"
    await on.press("x")
    await on.see("remove a rule")
    await on.press("escape", "a")
    await on.see("are ended")
    await on.press("escape", "escape", "R")
    await on.see("[[rule]]", "Enter add")
    await on.press("down", "2", "escape", "w")
    await on.see("holds")


@promise("VIEW-07")
@driven()
async def test_what_is_written_in_rules_steers_nothing(on: Driver) -> None:
    evil = "a\x1b[31m\nb[red]"
    on.daemon.rules = protocol.RuleList(
        rules=[rule(1, {"name": [evil]}, comment=evil, via=evil, unless={"command": [evil]})],
        notes=[evil],
        wrong=evil,
    )
    await on.press("b")
    await on.see("a?[31m?b[red]")
    await on.press("enter", "x")
    await on.see("a?[31m?b[red]")
    assert "\x1b" not in on.screen()


@promise("VIEW-05", "VIEW-20")
@driven()
async def test_ten_thousand_rules_are_shown_as_quickly(on: Driver) -> None:
    """Processor time from the key to all that it draws."""
    many = [rule(n, {"name": [f"n{n}"]}) for n in range(1, 10_001)]
    on.daemon.rules = protocol.RuleList(rules=many)
    await on.press("b")
    await on.see("10000 rules")
    took = {}
    for key in ("G", "up", "pageup", "g", "down"):
        began = time.process_time()
        await on.press(key)
        took[key] = time.process_time() - began
        if key == "G":
            await on.see("lines.toml:10000")
    assert max(took.values()) < 0.05, took


@promise("VIEW-20")
def test_notes_are_their_rules_or_nobodys() -> None:
    machine = Machine()
    machine.take(protocol.Watching(assignments=[*ASSIGNMENTS, BY_RULE], processes=PROCESSES))
    book = RuleBook()
    told = protocol.RuleList(rules=RULES, notes=[f"{RULES[0].place}: odd", "x.toml:1: else"], wrong="")
    book.take(told, machine)
    assert [row.wrong for row in book.rows] == [("odd",), (), (), (), ()]
    assert [row.placed for row in book.rows] == [0, 3, 0, 0, 0]
    assert list(book.findings()) == ["x.toml:1: else"]
    assert book.filter_for(RULES[0].place) == "10-lines.toml:3:"
    twice = replace(RULES[0], place="/run/procroute/rules.d/10-lines.toml:3")
    book.take(protocol.RuleList(rules=[*RULES, twice]), machine)
    assert book.filter_for(twice.place) == f"{twice.place}:"
    assert book.ways() == ["wan1", "lte0", "vpn"]
