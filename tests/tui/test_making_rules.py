"""`R`, which makes a rule of a process, and `w`, which says which rule holds for one."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from procroute import protocol
from procroute.errors import ProcrouteError
from procroute.rulebook.shape import WrittenRule
from procroute_tui.model import making
from procroute_tui.model.machine import Machine
from procroute_tui.screens.make_rule import MakeRuleDialog
from tests.tui.driving import Driver, driven
from tests.tui.fake_daemon import ASSIGNMENTS, NOW, PROCESSES, RULES, assignment, running, user_name

promise = pytest.mark.promise
CHOOSE = ("slash", *"rsync", "enter", "R")


def rule(**plain: Any) -> WrittenRule:
    return msgspec.convert(plain, WrittenRule)


def machine(*more: protocol.Running) -> Machine:
    found = Machine()
    found.take(protocol.Watching(assignments=ASSIGNMENTS, processes=[*PROCESSES, *more]))
    return found


def added(on: Driver) -> list[protocol.Request]:
    return [request for request in on.daemon.changes if isinstance(request, protocol.AddRule)]


@promise("VIEW-22")
@driven(80, 24)
async def test_r_and_enter_make_a_rule_of_the_program(on: Driver) -> None:
    await on.press(*CHOOSE)
    await on.see("a rule of rsync (pid 2502)", "[x] 1  exe      /usr/bin/rsync", "[ ] 2  name     rsync")
    await on.see("unit     app-kitty.scope", "user     ada", "parent   bash")
    await on.see("/etc/procroute/rules.d/90-added.toml", "[[rule]]", 'exe = "/usr/bin/rsync"', 'via = "wan1"')
    await on.see("matches 1 of those who run now: rsync; now it meets 90-added.toml:3")
    await on.press("enter")
    await on.see("added: 90-added.toml:9: exe /usr/bin/rsync: wan1")
    assert added(on) == [protocol.AddRule(rule=rule(exe="/usr/bin/rsync", via="wan1"))]
    await on.see("apply rules to what runs already")
    await on.press("x", "enter")
    await on.see("2 processes are on a rule's route now")
    assert on.daemon.changes[-1] == protocol.ApplyRules(existing="reset")
    await on.press("b")
    await on.see("90-added.toml:9", "6 rules")


@promise("VIEW-22")
@driven(120, 50)
async def test_what_is_ticked_and_chosen_is_written(on: Driver) -> None:
    await on.press(*CHOOSE)
    await on.see("a rule of")
    await on.press("1", "2", "3", "4", "5", "6", "s", "x", "p", "down")
    await on.see('unit = "app-kitty.scope"', 'via = "lte0"', "/run/procroute/rules.d/90-passing.toml")
    await on.press("c", *"sxp1", "space", "R")
    await on.see('comment = "sxp1 R"')
    await on.press("enter")
    await on.until(lambda: added(on))
    told = {
        "name": "rsync",
        "unit": "app-kitty.scope",
        "user": "ada",
        "parent": "bash",
        "command": "/usr/bin/rsync --some option",
    }
    found = added(on)[0]
    assert isinstance(found, protocol.AddRule)
    assert found.rule == rule(**told, comment="sxp1 R", via="lte0", strict=True, existing="reset")
    assert found.passing


@promise("VIEW-22")
@driven(120, 50)
async def test_direct_and_routes_of_other_rules_are_ways(on: Driver) -> None:
    await on.press(*CHOOSE)
    await on.see("vpn             a route of other rules", "direct")
    await on.press("down", "down", "down")
    await on.see('via = "vpn"')
    await on.press("down", "s")
    await on.see("direct = true")
    await on.press("enter")
    await on.until(lambda: added(on))
    assert added(on) == [protocol.AddRule(rule=rule(exe="/usr/bin/rsync", direct=True))]
    await on.until(lambda: not isinstance(on.app.screen, MakeRuleDialog))
    await on.pilot.pause(0.1)
    assert "apply rules" not in on.screen(), "nobody would move"


@promise("VIEW-22")
@driven(120, 50)
async def test_what_is_refused_is_said_and_can_be_mended(on: Driver) -> None:
    def refuse(_: object) -> None:
        raise ProcrouteError("not-permitted", "the adapter wan1 is not for you", "[access] says so")

    on.daemon.answers[protocol.AddRule] = refuse
    await on.press(*CHOOSE)
    await on.see("a rule of")
    await on.press("enter")
    await on.see("! the adapter wan1 is not for you ([access] says so)")
    await on.press("1")
    await on.see("! a rule needs a condition")
    assert "not for you" not in on.screen()
    await on.press("enter")
    await on.see("! a rule needs a condition")
    del on.daemon.answers[protocol.AddRule]
    await on.press("1", "down", "enter")
    await on.see("added:")
    await on.press("escape")


@promise("VIEW-22")
@driven(120, 50)
async def test_keys_that_are_typed_ahead_are_for_the_dialog(on: Driver) -> None:
    await on.burst("slash", "rsync", "enter", "R", "2", "s", "down", "c", "hello", "enter")
    await on.until(lambda: added(on))
    want = rule(exe="/usr/bin/rsync", name="rsync", via="lte0", strict=True, comment="hello")
    assert added(on) == [protocol.AddRule(rule=want)]


@promise("VIEW-22")
@driven(120, 50)
async def test_of_others_processes_what_is_told_is_proposed(on: Driver) -> None:
    """A user sees of them neither program nor command; what may not be the daemon says."""

    def refuse(_: object) -> None:
        raise ProcrouteError("not-permitted", "this process is not yours", "root may")

    for kind in (protocol.Inspect, protocol.TryRules, protocol.MatchRule):
        on.daemon.answers[kind] = refuse
    stranger = replace(running(4000, 1, "stranger", user=1001), command=[])
    on.daemon.tell(protocol.Processes(at=NOW, now=[stranger]))
    await on.press("slash", *"stranger", "enter", "R")
    await on.see("[x] 1  name     stranger", "user     ben")
    assert "exe " not in on.screen()
    await on.see("! this process is not yours (root may)")
    await on.press("escape")
    await on.see("a Assign")


@promise("VIEW-22")
def test_a_users_rules_stand_in_his_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    @driven()
    async def test(on: Driver) -> None:
        await on.press(*CHOOSE)
        await on.see("/etc/procroute/rules.d/users/1000/90-added.toml")

    test()


@promise("VIEW-22")
@driven()
async def test_without_a_process_there_is_no_rule(on: Driver) -> None:
    await on.press("slash", *"zzz", "enter", "R")
    await on.see("no process is chosen")
    await on.press("w")
    await on.see("no process is chosen")


@promise("VIEW-22")
@driven(100, 16)
async def test_on_a_low_screen_the_choice_scrolls(on: Driver) -> None:
    await on.press(*CHOOSE)
    await on.see("a rule of", "[[rule]]", "Enter add")
    await on.press("p")
    await on.see("[x] p  till next boot", "/run/procroute")


@promise("VIEW-22")
def test_a_script_is_known_by_its_own_path() -> None:
    script = replace(
        running(5000, 2410, "backup-all.sh"), command=["/bin/sh", "/usr/local/bin/backup-all.sh", "now"]
    )
    python = replace(running(5001, 2410, "python3.11"), command=["/usr/bin/python3.11", "/home/ada/x.py"])
    found = machine(script, python)
    first = making.matchers(found, user_name, 5000, "/usr/bin/dash")[0]
    assert first == making.Matcher("exe", "/usr/local/bin/backup-all.sh", chosen=True, at_start=True)
    assert making.matchers(found, user_name, 5001, "/usr/bin/python3.11")[0].value == "/usr/bin/python3.11"


@promise("VIEW-22")
def test_globs_in_names_mean_themselves_and_what_is_no_text_is_not_proposed() -> None:
    odd = replace(running(5000, 2410, "a*[b]?"), command=["x\x1b[31m"], unit="")
    found = {m.key: m.value for m in making.matchers(machine(odd), user_name, 5000, "/opt/a*b")}
    assert found == {"exe": "/opt/a[*]b", "name": "a[*][[]b][?]", "user": "ada", "parent": "bash"}
    text = making.text_of(
        making.written(found, "wan1", strict=False, main=True, reset=False, comment='say "hi"')
    )
    assert text.splitlines()[0] == "[[rule]]"
    assert 'on_down = "main"' in text.splitlines()


@promise("VIEW-23")
@driven(120, 36)
async def test_w_says_which_rule_holds_and_why_earlier_ones_do_not(on: Driver) -> None:
    by_rule = replace(assignment(5, "lte0~strict"), how="rule", rule=RULES[4].place)
    on.daemon.tell(protocol.Added(at=NOW, assignment=by_rule))
    await on.press("slash", *"rsync", "enter", "d")
    await on.see("w tells why this one")
    await on.press("w")
    await on.see("rules for rsync (pid 2502)", f"put there by {RULES[4].place}", f"{RULES[4].place} holds")
    await on.see(
        "✔ name rsync*: vpn", "earlier ones do not (3)", f"✘ {RULES[0].place}", "not /usr/bin/zoom or"
    )
    await on.press("w")
    await on.until(lambda: "rules for" not in on.screen())


@promise("VIEW-23")
@driven()
async def test_that_no_rule_holds_is_said_and_who_put_it_there(on: Driver) -> None:
    tried = [protocol.TriedRule(RULES[0], "it is switched off")]
    on.daemon.answers[protocol.TryRules] = lambda _: protocol.Tried(rules=tried)
    await on.press("slash", *"rsync", "enter", "w")
    await on.see("put there by ada (run): there it stays", "no rule holds", "why (1)", "it is switched off")


@promise("VIEW-23")
@driven()
async def test_what_is_not_for_the_asker_is_refused_with_the_hint(on: Driver) -> None:
    def refuse(_: object) -> None:
        raise ProcrouteError("not-permitted", "this process is not yours", "root may")

    on.daemon.answers[protocol.TryRules] = refuse
    await on.press("w")
    await on.see("this process is not yours", "hint: root may")
