"""`procroute rules check` and `procroute config check`: what is wrong, for people and programs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from procroute import config
from procroute.cli import main as command_line
from procroute.config import Settings
from procroute.errors import Exit
from procroute.model import Route
from procroute.rulebook import folders
from procroute.rulebook.doubts import doubts
from procroute.rulebook.reading import read_text

Says = Callable[..., tuple[int, list[str]]]
GOOD = '[[rule]]\nexe = "/bin/sh"\nuser = "root"\ngroup = "root"\nvia = "lo"\n'


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Says:
    """Run a command line as somebody, where there are no rules and no configuration: status and stdout."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(config, "read", Settings)
    monkeypatch.setattr(folders, "load", lambda: folders.read_file(tmp_path / "all.toml"))

    def call(*arguments: str) -> tuple[int, list[str]]:
        status = command_line.main(list(arguments))
        captured = capsys.readouterr()
        assert captured.err == ""
        return status, captured.out.splitlines()

    return call


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    """A file with this text: its path."""

    def write(text: str) -> str:
        path = tmp_path / "rules.toml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.promise("RULE-11")
def test_a_file_that_is_sound(says: Says, file: Callable[[str], str]) -> None:
    assert says("rules", "check", file(GOOD)) == (Exit.OK, ["1 rule; 0 errors, 0 warnings"])


@pytest.mark.promise("RULE-11")
def test_errors_and_warnings_are_told_with_their_places(says: Says, file: Callable[[str], str]) -> None:
    name = file(f'{GOOD}\n[[rule]]\nexee = "/x"\n\n[[rule]]\nexe = "/nowhere/x"\ndirect = true\n')
    assert says("rules", "check", name) == (
        Exit.FOUND,
        [
            f"{name}:8: error: exee is unknown",
            "  hint: did you mean exe?",
            f"{name}:10: warning: exe /nowhere/x: there is no such program now",
            "2 rules; 1 error, 1 warning",
        ],
    )


@pytest.mark.promise("RULE-11")
def test_a_rule_that_nobody_can_meet_is_a_warning(says: Says, file: Callable[[str], str]) -> None:
    name = file(f"{GOOD}\n{GOOD}")
    assert says("rules", "check", name) == (
        Exit.OK,
        [
            f"{name}:7: warning: nobody meets it: {name}:1 takes all that it means",
            "2 rules; 0 errors, 1 warning",
        ],
    )


@pytest.mark.promise("RULE-11")
def test_warnings_alone_are_no_failure(says: Says, file: Callable[[str], str]) -> None:
    status, lines = says("rules", "check", file('[[rule]]\nname = "x"\nvia = "nosuch0"\n'))
    assert status == Exit.OK
    assert lines[-1] == "1 rule; 0 errors, 1 warning"


@pytest.mark.promise("RULE-11")
def test_several_files_and_one_that_is_not_there(
    says: Says, file: Callable[[str], str], tmp_path: Path
) -> None:
    status, lines = says("rules", "check", file(GOOD), str(tmp_path / "none.toml"))
    assert status == Exit.FOUND
    assert lines == [
        f"{tmp_path}/none.toml: error: cannot be read: No such file or directory",
        "1 rule; 1 error, 0 warnings",
    ]


@pytest.mark.promise("RULE-11")
def test_without_a_file_all_rules_are_read(says: Says, tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(GOOD + GOOD.replace('exe = "/bin/sh"\n', 'name = "sh"\n'))
    assert says("rules", "check") == (Exit.OK, ["2 rules; 0 errors, 0 warnings"])


@pytest.mark.promise("RULE-11")
def test_programs_get_json(says: Says, file: Callable[[str], str]) -> None:
    name = file("[[rule]]\nname = 'x'\n")
    status, lines = says("rules", "check", "--json", name)
    found = json.loads("\n".join(lines))
    assert status == Exit.FOUND
    assert (found["version"], found["rules"]) == (1, 0)
    (finding,) = found["findings"]
    assert (finding["file"], finding["line"], finding["error"]) == (name, 1, True)
    assert finding["message"] == "a rule needs a way"
    assert finding["hint"]


@pytest.mark.promise("RULE-12")
def test_nothing_that_steers_a_terminal_is_printed(says: Says, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\x1b[31m\xff.toml")
    path.write_text('[[rule]]\nname = "x"\n"\\u001b[1m" = 3\n')
    status, lines = says("rules", "check", str(path))
    assert status == Exit.FOUND
    assert all(line.isprintable() for line in lines)
    assert f"{tmp_path}/?[31m?.toml:3: error: ?[1m is unknown" in lines


@pytest.mark.promise("RULE-11", "RULE-13")
def test_the_configuration_is_checked(says: Says, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[route.vpn]\nadapters = ["lo"]\n[adapter.lo]\nneed = "all"\n')
    assert says("config", "check", str(path)) == (Exit.OK, ["1 adapter, 1 route; 0 errors, 0 warnings"])
    path.write_text('[route.vpn]\nadapters = ["wg0"]\nstrikt = true\n')
    assert says("config", "check", str(path)) == (
        Exit.FOUND,
        [
            f"{path}:3: error: route.vpn.strikt is unknown",
            "  hint: did you mean route.vpn.strict?",
            "0 adapters, 0 routes; 1 error, 0 warnings",
        ],
    )
    status, lines = says("config", "check", "--json", str(path))
    assert status == Exit.FOUND
    assert json.loads("\n".join(lines))["findings"][0]["line"] == 3


NOT_THERE = """\
[route.vpn]
adapters = ["gone0"]
on_down = "next"
[route.always]
adapters = ["lo", "gone1"]
on_down = "next"
[adapter.gone2]
over = "gone3,lo"
[adapter.gone4]
over = "always"
[access.nobody-of-that-name]
adapters = ["lo", "gone5"]
[access."*"]
adapters = []
"""


@pytest.mark.promise("RULE-11")
def test_what_the_configuration_names_and_is_not_there_is_a_warning(says: Says, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(NOT_THERE)
    there_is_no = "warning: there is no adapter"
    assert says("config", "check", str(path)) == (
        Exit.OK,
        [
            f"{path}:2: {there_is_no} gone0 now",
            f"{path}:3: warning: on_down = next changes nothing: the route has one adapter",
            "  hint: name more adapters, or write block or main",
            f"{path}:5: {there_is_no} gone1 now",
            f"{path}:7: {there_is_no} gone2 now",
            f"{path}:8: {there_is_no} gone3 now",
            f"{path}:9: {there_is_no} gone4 now",
            f"{path}:11: warning: there is no user nobody-of-that-name",
            f"{path}:12: {there_is_no} gone5 now",
            "2 adapters, 2 routes; 0 errors, 8 warnings",
        ],
    )


@pytest.mark.promise("RULE-11")
def test_several_ways_of_a_tunnel_are_one_text(says: Says, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[adapter.wg0]\nover = ["wan1", "lte"]\n')
    _, lines = says("config", "check", str(path))
    assert lines[:2] == [
        f"{path}:2: error: adapter.wg0.over must be one text, not a list",
        '  hint: over = "wan1,lte"',
    ]


@pytest.mark.promise("RULE-11", "RULE-12")
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("make", "what"),
    [(os.mkfifo, "is no file"), (lambda path: None, "No such file"), (os.mkdir, "is no file")],
    ids=["FIFO", "missing", "folder"],
)
@pytest.mark.parametrize("verb", ["rules", "config"])
def test_what_is_no_file_is_said(
    says: Says, tmp_path: Path, make: Callable[[Path], object], what: str, verb: str
) -> None:
    make(tmp_path / "x.toml")
    status, lines = says(verb, "check", str(tmp_path / "x.toml"))
    assert status == Exit.FOUND
    assert what in lines[0]


@pytest.mark.promise("RULE-11")
@pytest.mark.parametrize("verb", ["rules", "config"])
def test_a_verb_alone_names_its_words(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([verb]) == Exit.USAGE
    assert re.search("verbs: .*check", capsys.readouterr().err)
    assert command_line.main([verb, "chekc"]) == Exit.USAGE
    assert "did you mean check?" in capsys.readouterr().err


ROOTS = "it takes all that root starts, the system's services and your next shell among that"


def doubted(says: str) -> list[str]:
    """What is doubtful about a rule."""
    book = read_text(f"[[rule]]\n{says}", "f")
    assert not book.findings
    found = doubts(book.rules, {"vpn": Route("wg0")})
    assert not any(f.error for f in found)
    assert all(f.place == "f:1" for f in found)
    return [f.message for f in found]


@pytest.mark.promise("RULE-11")
@pytest.mark.parametrize(
    ("says", "wanted"),
    [
        ('exe = "/bin/sh"\nvia = "lo"', []),
        ('exe = "/bin/sh"\nvia = "vpn"', []),
        ('exe = "/bin/sh"\nvia = "vpm"', ["there is no [route.vpm], and no such adapter now"]),
        ('exe = "/nowhere/sh"\ndirect = true', ["exe /nowhere/sh: there is no such program now"]),
        ('exe = "/etc/passwd"\ndirect = true', ["exe /etc/passwd: nobody may execute it"]),
        ('exe = "/etc"\ndirect = true', ["exe /etc: is no program"]),
        ('exe = "/bin/*"\ndirect = true', []),
        ('exe = "/nowhere/*/x"\ndirect = true', ["exe /nowhere/*/x: there is no folder /nowhere"]),
        ('exe = "/*/x"\ndirect = true', []),
        ('exe = "/bin/sh/x"\ndirect = true', ["exe /bin/sh/x: cannot be looked at: Not a directory"]),
        ('user = ["root", "0", "nobody-here"]\ndirect = true', ["there is no user nobody-here"]),
        ('group = ["root", "0", "nobody-here"]\ndirect = true', ["there is no group nobody-here"]),
        ('name = "x"\nnot = { user = "nobody-here" }\ndirect = true', ["there is no user nobody-here"]),
        ('exe = "/nowhere/sh"\ndirect = true\nenabled = false', []),
        ('user = "root"\nvia = "lo"', [ROOTS]),
        ('user = "0"\nvia = "lo"', [ROOTS]),
        ('user = "0"\ndirect = true', []),
        ('user = "root"\nexe = "/bin/sh"\nvia = "lo"', []),
        ('user = ["ftp", "root"]\nvia = "lo"', ["there is no user ftp", ROOTS]),
        ('group = "root"\nvia = "lo"', [ROOTS]),
        ('exe = "/**"\nvia = "lo"', [ROOTS]),
        ('exe = ["/bin/sh", "/**/*"]\nvia = "lo"', [ROOTS]),
        ('exe = "/*"\nvia = "lo"', []),
        ('name = "*"\nvia = "lo"', [ROOTS]),
        ('name = "*"\nexe = "/bin/sh"\nvia = "lo"', []),
        ('command = "*"\nuser = "root"\nvia = "lo"', [ROOTS]),
        ('cgroup = "/"\nvia = "lo"', [ROOTS]),
        ('unit = "*"\nvia = "lo"', [ROOTS]),
        ('not = { name = "x" }\nvia = "lo"', [ROOTS]),
        ('not = { name = "x" }\ndirect = true', []),
    ],
)
def test_what_a_rule_names_and_is_not_there_is_doubted(says: str, wanted: list[str]) -> None:
    assert doubted(says) == wanted
