"""The words of `rules` that ask the daemon: what they ask a stand-in for it, and what they tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.text import Text

from procroute import protocol
from procroute.cli import main as command_line
from procroute.cli import rule_table
from procroute.errors import Exit, ProcrouteError
from procroute.protocol import RuleFacts, TriedRule
from procroute.rulebook.shape import WrittenConditions, WrittenRule
from procroute.terminal import printable
from tests.unit.test_daemon_verbs import EVIL, Verb, documented, keys, verb

__all__ = ["verb"]
RULE = RuleFacts(
    "/etc/procroute/rules.d/10-a.toml:4",
    0,
    "held",
    via="wan1",
    strict=True,
    conditions={"exe": ["/usr/bin/curl", "/opt/*/bin/curl"], "group": ["a", "b", "c", "d", "e"]},
    unless={"user": ["root"], "app": ["org.x"]},
    comment="downloads",
)
DIRECT = RuleFacts(
    "/etc/procroute/rules.d/users/4242/1.toml:1", 4242, "news", conditions={"name": ["x*"]}, enabled=False
)
WILD = RuleFacts(
    f"/etc/{EVIL}.toml:1",
    0,
    "news",
    via=EVIL,
    conditions={"command": [EVIL]},
    unless={"name": [EVIL]},
    comment=EVIL,
)
LISTED = protocol.RuleList(rules=[RULE, DIRECT], notes=["10-a.toml:4: there is no adapter wan1"])
TRIED = protocol.Tried(rules=[TriedRule(DIRECT, "it is switched off"), TriedRule(RULE)])
EDITED = protocol.Edited(rule=RULE, notes=["a note"])
SHORT = "exe /usr/bin/curl or /opt/*/bin/curl, group a or b or c or 2 more, not user root and app org.x"
promise = pytest.mark.promise


@promise("RULE-20")
def test_list_tells_each_rule_in_its_order(verb: Verb) -> None:
    status, out, err, asked = verb(LISTED, "rules", "list")
    assert (status, asked) == (Exit.OK, protocol.Rules(id=1))
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert rows[2:] == [
        "/etc/procroute/rules.d/",
        f"10-a.toml:4 root {SHORT} wan1, strict held",
        "downloads",
        "/etc/procroute/rules.d/users/4242/",
        "1.toml:1 uid 4242 name x* direct switched off",
    ]
    assert err == "procroute: 10-a.toml:4: there is no adapter wan1\n"


@promise("RULE-20")
@pytest.mark.parametrize("columns", [60, 80, 100, 300])
def test_list_breaks_no_place_and_tells_all_of_the_way(columns: int) -> None:
    place = "/etc/procroute/rules.d/40-a-rather-long-name-of-rules.toml:1234"
    way = replace(
        RULE,
        place=place,
        via="wan1,wan2",
        strict=False,
        gateway4="192.0.2.1",
        gateway6="2001:db8::1",
        dns=[],
        on_down="main",
        hold=2.5,
        inbound=True,
    )
    text = Text.from_ansi(rule_table.as_table([way, WILD], columns)).plain
    assert all(len(line) <= columns for line in text.splitlines())
    assert (place if columns < 300 else place.rpartition("/")[2]) in text.replace(
        "\n", "" if columns < 64 else "\n"
    )
    said = " ".join(text.split())
    for words in ("not strict", "inbound", "gateway 192.0.2.1", "gateway 2001:db8::1", "dns system"):
        assert words in said
    assert "on_down main, hold 2.5" in said


@promise("RULE-20")
def test_list_says_when_the_files_are_not_what_holds(verb: Verb) -> None:
    wrong = replace(LISTED, wrong="90-x.toml:2: exee is unknown; did you mean exe?")
    assert "the files cannot be used: 90-x.toml:2: exee is unknown" in verb(wrong, "rules", "list")[2]
    assert json.loads(verb(wrong, "rules", "list", "--json")[1])["wrong"] == wrong.wrong
    assert json.loads(verb(LISTED, "rules", "list", "--json")[1])["wrong"] is None


@promise("RULE-20")
def test_without_rules_that_is_said(verb: Verb) -> None:
    assert verb(protocol.RuleList(rules=[]), "rules", "list")[1] == "there are no rules\n"


@promise("RULE-21")
def test_test_names_the_rule_that_holds_and_why_earlier_ones_do_not(verb: Verb) -> None:
    status, out, _, asked = verb(TRIED, "rules", "test", "4711")
    assert (status, asked) == (Exit.OK, protocol.TryRules(id=1, pid=4711))
    assert out.splitlines()[0] == "✘ /etc/procroute/rules.d/users/4242/1.toml:1: it is switched off"
    assert out.splitlines()[1].startswith("✔ /etc/procroute/rules.d/10-a.toml:4 holds: exe /usr/bin/curl")
    assert out.splitlines()[2] == "  downloads"


@promise("RULE-21")
def test_test_tells_that_none_holds_and_counts_the_many(verb: Verb) -> None:
    none = protocol.Tried(rules=[TriedRule(DIRECT, "it is switched off")] * 1000)
    lines = verb(none, "rules", "test", "1")[1].splitlines()
    assert len(lines) == 102
    assert "900 more" in lines[-2]
    assert lines[-1] == "no rule holds: it goes as it likes"


@promise("RULE-22")
@pytest.mark.parametrize(
    ("placed", "released", "words"),
    [
        (0, 0, "nothing had to move"),
        (1, 0, "1 process is on a rule's route now"),
        (2, 0, "2 processes are on a rule's route now"),
        (0, 1, "1 process was let go: no rule holds for it"),
        (0, 2, "2 processes were let go: no rule holds for them"),
        (1, 2, "1 process is on a rule's route now\n2 processes were let go: no rule holds for them"),
    ],
)
def test_apply_says_how_many(verb: Verb, placed: int, released: int, words: str) -> None:
    _, out, _, asked = verb(protocol.Applied(placed=placed, released=released), "rules", "apply")
    assert asked == protocol.ApplyRules(id=1)
    assert out == f"{words}\n"


@promise("RULE-22")
def test_apply_says_which_rules_do_not_hold(verb: Verb) -> None:
    _, out, err, _ = verb(protocol.Applied(placed=0, notes=["10-a.toml:4: no adapter"]), "rules", "apply")
    assert (out, err) == ("nothing moved\n", "procroute: 10-a.toml:4: no adapter\n")


@promise("RULE-21")
@pytest.mark.parametrize("word", ["firefox", "%1", "0"])
def test_a_name_is_no_pid_and_test_takes_no_name(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["rules", "test", word]) == Exit.USAGE
    err = capsys.readouterr().err
    assert f"{word} is not a PID\n  hint: see procroute rules test --help" in err


@promise("RULE-22")
def test_apply_takes_what_becomes_of_connections(verb: Verb) -> None:
    asked = verb(protocol.Applied(placed=0), "rules", "apply", "--existing", "reset")[3]
    assert asked == protocol.ApplyRules(id=1, existing="reset")


@promise("RULE-20")
@pytest.mark.parametrize(
    ("word", "done"), [("remove", "removed"), ("enable", "switched on"), ("disable", "switched off")]
)
def test_a_rule_is_named_by_file_and_line(verb: Verb, word: str, done: str) -> None:
    status, out, err, asked = verb(EDITED, "rules", word, "10-a.toml:4")
    assert status == Exit.OK
    assert asked == protocol.EditRule(id=1, rule="10-a.toml:4", edit=word)  # type: ignore[arg-type]
    assert out.startswith(f"{done}: /etc/procroute/rules.d/10-a.toml:4: exe /usr/bin/curl")
    assert err == "procroute: a note\n"


@promise("RULE-20")
def test_add_writes_what_was_typed(verb: Verb) -> None:
    typed = (
        "--exe /a/b --exe /c/** --name n --command c* --user root --group 4 --cgroup /x --unit u "
        "--app org.x --parent p --not-user root --not-user 5 --not-exe /d --via wan1 --strict "
        "--gateway4 192.0.2.1 --gateway6 fe80::1 --dns 192.0.2.53,2001:db8::53 --when-down allow "
        "--existing reset --comment why --file 5-x --passing"
    )
    status, out, err, asked = verb(EDITED, "rules", "add", *typed.split())
    assert status == Exit.OK
    assert asked == protocol.AddRule(
        id=1,
        rule=WrittenRule(
            exe=["/a/b", "/c/**"],
            name="n",
            command="c*",
            user="root",
            group="4",
            cgroup="/x",
            unit="u",
            app="org.x",
            parent="p",
            unless=WrittenConditions(user=["root", "5"], exe="/d"),
            via="wan1",
            strict=True,
            gateway4="192.0.2.1",
            gateway6="fe80::1",
            dns=["192.0.2.53", "2001:db8::53"],
            when_down="allow",
            existing="reset",
            comment="why",
        ),
        file="5-x",
        passing=True,
    )
    assert out.startswith("added: /etc/procroute/rules.d/10-a.toml:4: ")
    told = err.splitlines()
    assert told[0] == "procroute: a note"
    assert "procroute: exe /a/b: there is no such program now" in told


@promise("RULE-20")
def test_add_takes_exceptions_and_leaves_look_ups_alone(verb: Verb) -> None:
    asked = verb(EDITED, "rules", "add", "--user", "root", "--direct")[3]
    assert asked == protocol.AddRule(id=1, rule=WrittenRule(user="root", direct=True))
    asked = verb(EDITED, "rules", "add", "--user", "root", "--via", "x", "--dns", "system")[3]
    assert asked == protocol.AddRule(id=1, rule=WrittenRule(user="root", via="x", dns="system"))


@promise("RULE-23")
@pytest.mark.parametrize(
    ("typed", "meant"), [("./it", "{}/it"), ("bin/*", "{}/bin/*"), ("../it", "{}/../it"), ("it", "{}/it")]
)
def test_a_program_is_meant_by_its_whole_path(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    program = tmp_path / "it"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    _, _, err, asked = verb(EDITED, "rules", "add", "--exe", typed, "--via", "wan1")
    path = str(Path(meant.format(tmp_path)))
    path = str(tmp_path.parent / "it") if ".." in path else path
    assert asked == protocol.AddRule(id=1, rule=WrittenRule(exe=path, via="wan1"))
    assert f"procroute: --exe {typed} is {path}" in err.splitlines()


@promise("RULE-23")
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "a rule needs a condition"),
        ("--exe /a", "a rule needs a way"),
        ("--exe /a --via x --direct", "--direct and via cannot both hold"),
        ("--exe /a --direct --strict", "--strict belongs to via"),
        ("--exe /a --direct --when-down deny", "--when-down belongs to via"),
        ("--exe no-such-program --via x", "--exe no-such-program: there is no such program in PATH"),
        ("--exe s* --via x", "--exe s*: there is no such program in PATH"),
        ("--exe /a/ --via x", "--exe is no path of a program: /a/"),
        ("--not-unit a/b --user root --via x", "--not-unit is no name of a unit"),
        ("--user a* --via x", "--user takes no globs: a*"),
        ("--user a --via wan1 --via wan2", "--via was given twice"),
        ("--user a --via x --gateway4 fe80::1", "argument --gateway4"),
    ],
)
def test_what_makes_no_sense_is_said_of_the_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str, words: str
) -> None:
    monkeypatch.setenv("PROCROUTE_SOCKET", "/nonexistent")  # nobody is asked
    assert command_line.main(["rules", "add", *(typed or "--via x").split()]) == Exit.USAGE
    assert words in capsys.readouterr().err


@promise("RULE-20")
def test_what_the_daemon_refuses_is_said_with_its_hint(verb: Verb) -> None:
    refused = protocol.Error(
        code="not-permitted", message="a rule of yours may not give a gateway", hint="ask root"
    )
    status, out, err, _ = verb(refused, "rules", "add", "--user", "root", "--via", "x")
    assert (status, out) == (ProcrouteError("not-permitted", "").status, "")
    assert err == "procroute: a rule of yours may not give a gateway\n  hint: ask root\n"


@promise("RULE-20")
@pytest.mark.parametrize(
    ("answer", "words", "documented_as"),
    [
        (LISTED, ["list"], "rules list"),
        (TRIED, ["test", "4711"], "rules test"),
        (protocol.Applied(placed=2), ["apply"], "rules apply"),
        (EDITED, ["add", "--user", "root", "--via", "x"], "rules add"),
        (EDITED, ["remove", "x:1"], "rules add"),
    ],
)
def test_json_has_the_documented_keys(verb: Verb, answer: Any, words: list[str], documented_as: str) -> None:
    status, out, err, _ = verb(answer, "rules", *words, "--json")
    assert (status, err) == (Exit.OK, "")
    assert _plain(keys(json.loads(out))) == _plain(documented(documented_as))


def _plain(found: set[str]) -> set[str]:
    """Without the conditions that an example has: they are as the rule says."""
    return {key for key in found if not {"conditions", "not"} & set(key.split(".")[:-1])} - {
        "exe", "user", "group", "app", "name"
    }  # fmt: skip


@promise("RULE-24")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (protocol.RuleList(rules=[WILD], notes=[EVIL]), ["list"]),
        (protocol.Tried(rules=[TriedRule(WILD, EVIL), TriedRule(WILD)]), ["test", "1"]),
        (protocol.Edited(rule=WILD, notes=[EVIL]), ["disable", "x:1"]),
        (protocol.Edited(rule=replace(WILD, via=""), notes=[EVIL]), ["add", "--name", EVIL, "--via", "x"]),
    ],
)
def test_hostile_names_cannot_steer_a_terminal(verb: Verb, answer: Any, words: list[str]) -> None:
    _, out, err, _ = verb(answer, "rules", *words)
    for line in (out + err).splitlines():
        assert line == printable(line)
    assert "evil" in out
