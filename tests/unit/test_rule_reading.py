"""Rule files: what they say becomes rules with their lines; what they cannot say is found."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.model import OnDown, Route
from procroute.rulebook import schema
from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import Conditions, RouteRule, Via
from procroute.written.finding import Finding

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "rules").glob("*.toml"))


def only(text: str) -> RouteRule:
    """The one rule of a text that is sound."""
    book = read_text(text, "f")
    assert not book.findings
    (rule,) = book.rules
    return rule


def mistake(text: str) -> Finding:
    """The one mistake of a text."""
    (finding,) = read_text(text, "f").findings
    assert finding.error
    return finding


@pytest.mark.promise("RULE-01")
def test_everything_that_can_be_said() -> None:
    rule = only("""
    # a comment
    [[rule]]
    exe = "/usr/bin/curl"
    name = ["a", "b*"]
    command = "* --x"
    user = "ada"
    group = ["1000"]
    cgroup = "/system.slice/**"
    unit = ["backup", "app-*", "user-1000.slice"]
    app = "org.mozilla.firefox"
    parent = "steam"
    not = { user = ["bob", "eve"] }
    via = "wan1"
    strict = true
    gateway4 = "192.0.2.1"
    gateway6 = "2001:db8::1"
    dns = ["192.0.2.53", "2001:db8::53"]
    on_down = "block"
    hold = 2.5
    inbound = false
    existing = "reset"
    when_down = "allow"
    comment = "why"
    enabled = false
    """)
    assert rule == RouteRule(
        Conditions(
            ("/usr/bin/curl",),
            ("a", "b*"),
            ("* --x",),
            ("ada",),
            ("1000",),
            ("/system.slice/**",),
            ("backup.service", "app-*", "user-1000.slice"),
            ("org.mozilla.firefox",),
            ("steam",),
        ),
        Via(
            "wan1",
            True,
            IPv4Address("192.0.2.1"),
            IPv6Address("2001:db8::1"),
            (IPv4Address("192.0.2.53"), IPv6Address("2001:db8::53")),
            OnDown.BLOCK,
            2.5,
            False,
            True,
        ),
        Conditions(user=("bob", "eve")),
        "reset",
        "allow",
        "why",
        False,
        0,
        "f",
        3,
        0,
    )


@pytest.mark.promise("RULE-01")
def test_what_is_not_said_has_defaults() -> None:
    assert only('[[rule]]\nname = "x"\ndirect = true') == RouteRule(
        Conditions(name=("x",)), None, file="f", line=1
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "rule = []", "\n\n"])
def test_a_file_may_have_no_rule(text: str) -> None:
    assert read_text(text, "f") == read_text("", "f")


@pytest.mark.promise("RULE-01")
@pytest.mark.parametrize(
    ("says", "line", "what", "hint"),
    [
        ('exee = "/x"\nvia = "w"', 2, "exee is unknown", "did you mean exe?"),
        ('name = "x"\ngateway = "192.0.2.1"\nvia = "w"', 3, "gateway is unknown", "gateway4 or gateway6?"),
        ('name = "x"\nvia = "w"\n[rule.not]\nusr = "a"', 5, "not.usr is unknown", "did you mean not.user?"),
        ('via = "w"\nname = 3', 3, "name must be a text or a list, not a number", ""),
        ('via = "w"\nname = ["a", 3]', 3, "name must be a text, not a number, in its list", ""),
        ('via = "w"\nname = []', 3, "name is empty", ""),
        ('via = "w"\nname = ""', 3, "name is empty", ""),
        (f'via = "w"\nname = "{"x" * 4097}"', 3, "name is too long: 4096 at most", ""),
        ('via = "w"\nname = "x"\nstrict = "yes"', 4, "strict must be true or false, not a text", ""),
        ('via = "w"\nname = "x"\nexisting = "kep"', 4, "existing cannot be 'kep'", "one of: keep, reset"),
        ('via = "w"\nname = "x"\nwhen_down = "no"', 4, "when_down cannot be 'no'", "one of: deny, allow"),
        ('via = "w"\nname = "x"\nnot = 3', 4, "not must be a table, not a number", ""),
        ('via = "w"\nname = "x"\nnot = {}', 4, "not is empty", "give it a condition: exe, name"),
        (
            'via = "w"\nname = "x"\ngateway4 = "::1"',
            4,
            "gateway4 cannot be so: ::1 is not an IPv4 address",
            "",
        ),
        ('via = "w"\nname = "x"\ngateway6 = "1.1.1.1"', 4, "gateway6 cannot be so", ""),
        ('via = "w"\nname = "x"\ndns = ["x"]', 4, "dns cannot be so", ""),
        ('via = "w"\nname = "x"\ndns = "224.0.0.1"', 4, "dns cannot be so: 224.0.0.1 cannot be a name", ""),
        ('name = "x"', 1, "a rule needs a way", "direct = true"),
        ('via = "w"', 1, "a rule needs a condition", "exe, name, command"),
        ('name = "x"\ndirect = false', 3, "direct is false, and there is no via", ""),
        ('name = "x"\nvia = "w"\ndirect = true', 4, "direct and via cannot both hold", ""),
        ('name = "x"\ndirect = true\nstrict = true', 4, "strict belongs to via", "leave it out"),
        ('name = "x"\ndirect = true\nwhen_down = "deny"', 4, "when_down belongs to via", "leave it out"),
        ('name = "x"\nvia = "a b"', 3, "via cannot be a b", "[route.NAME]"),
        ('name = "x"\nvia = "a,"', 3, "via cannot be 'a,': names of adapters with one comma", '"wg0,wan1"'),
        ('name = "x"\nvia = "a,b,a"', 3, "via cannot be 'a,b,a': a is there twice", '"wg0,wan1"'),
        ('name = "x"\nvia = "a,b,c,d,e"', 3, "via cannot be 'a,b,c,d,e': a route has at most 4", ""),
        ('name = "x"\nvia = ["a", "b"]', 3, "via must be a text, not a list", 'via = "wg0,wan1"'),
        ('via = "w"\nuser = 1000', 3, "user must be a text or a list, not a number", 'user = "1000"'),
        ('via = "w"\ngroup = ["a", 5]', 3, "group must be a text, not a number, in its list", "in quotes"),
        ('name = "x"\nvia = "a/b"', 3, "via cannot be a/b", "[route.NAME]"),
        ('name = "x"\nvia = "\\u001b[31m"', 3, "via cannot be ?[31m", "[route.NAME]"),
        ('via = "w"\nexe = "curl"', 3, "exe must be a path from /: curl", 'name = "curl"'),
        ('via = "w"\nexe = "~/bin/x"', 3, "exe must be a path from /", "write all of it"),
        ('via = "w"\nexe = "/usr/../x"', 3, "exe must be a path without . and ..", "realpath"),
        ('via = "w"\nexe = "/opt/x/"', 3, "exe is no path of a program", "/opt/x/**"),
        ('via = "w"\nexe = "/opt/x**"', 3, "exe has ** beside other characters", "any folders"),
        ('via = "w"\nexe = "/a\\u0000b"', 3, "exe holds a NUL byte", ""),
        ('via = "w"\ncgroup = "a.slice"', 3, "cgroup must be a path from /", ""),
        ('via = "w"\ncgroup = "/sys/fs/cgroup/x"', 3, "cgroup is counted from the root", "/proc/PID/cgroup"),
        ('via = "w"\nunit = "a/b.service"', 3, "unit is no name of a unit", "cgroup"),
        ('via = "w"\napp = "firefox.desktop"', 3, "app is the name of a file", "firefox"),
        ('via = "w"\nunit = "a\\nb"', 3, "unit holds a control character", ""),
        ('via = "w"\nuser = "a*"', 3, "user takes no globs", "list"),
        ('via = "w"\nuser = "4294967295"', 3, "user is no number that somebody can have", "4294967294"),
        ('via = "w"\ngroup = "a:b"', 3, "group is no name", ""),
    ],
)
def test_what_a_rule_cannot_say_is_found(says: str, line: int, what: str, hint: str) -> None:
    found = mistake(f"[[rule]]\n{says}")
    assert (found.file, found.line) == ("f", line)
    assert what in found.message
    assert found.message.isprintable()
    assert hint in found.hint


@pytest.mark.promise("RULE-01")
@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("[[rul]]\nname = 'x'", 1, "rul is unknown here", "did you mean rule?"),
        ("\nname = 'x'", 2, "name is unknown here", "write [[rule]] above it"),
        ("\n[rule]\nname = 'x'", 2, "rule must be tables of their own", "write [[rule]]"),
        ("rule = [{name = 'x', direct = true}]", 1, "rule must be tables of their own", "write [[rule]]"),
        ("rule = 3", 1, "rule must be tables of their own", "write [[rule]]"),
        ("[[rule]]\nname = x", 2, "not TOML", ""),
        ("[[rule]]\nname = '''x", 2, "not TOML", ""),
        ("[[rule]]\nname = 'x'\nname = 'y'", 3, "not TOML", ""),
        ("x = " + "[" * 5000, 0, "too many tables or lists in one another", ""),
    ],
)
def test_what_is_no_file_of_rules_is_found(text: str, line: int, what: str, hint: str) -> None:
    found = mistake(text)
    assert found.line == line
    assert what in found.message
    assert hint in found.hint


@pytest.mark.promise("RULE-01")
def test_all_mistakes_of_a_file_are_found_at_once() -> None:
    text = "[[rule]]\nname = 'x'\n[[rule]]\nname = 'x'\ndirect = true\n[[rule]]\nexe = 'x'\ndirect = true\n"
    book = read_text(text, "f")
    assert [f.line for f in book.findings] == [1, 7]
    assert [(r.line, r.nth) for r in book.rules] == [(3, 1)]


@pytest.mark.promise("RULE-01")
@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ('exee = "/x"\nuser = 5\nvia = "a b"', [(2, "exee is"), (3, "user must"), (4, "via cannot")]),
        ('exe = "x"\ngroup = "a*"\nvia = "w"\ndns = "x"', [(2, "exe must"), (3, "group takes"), (5, "dns")]),
        # What is left out is not missed: the rule has a way and a condition, though none that could be.
        ("exee = '/x'\nvia = 5", [(2, "exee is"), (3, "via must")]),
        ('name = "x"\nvia = "w"\nnot = { usr = "a", nam = "b" }', [(4, "not.usr is"), (4, "not.nam is")]),
        ('name = "x"\nvia = 5\nstrict = true\ndirect = false', [(3, "via must")]),
        ("name = 5\ngateway4 = '::'\ndns = ['x']\ndirect = true", [(2, "name must"), (3, "gat"), (4, "dns")]),
    ],
)
def test_all_mistakes_of_a_rule_are_found_at_once(lines: str, found: list[tuple[int, str]]) -> None:
    book = read_text(f"[[rule]]\n{lines}\n", "f")
    told = sorted((f.line, f.message) for f in book.findings)
    assert not book.rules
    for line, words in found:
        assert any(at == line and said.startswith(words) for at, said in told), told
    assert {line for line, _ in told} == {line for line, _ in found}


NASTY = '''\
# [[rule]]
[[rule]] # one
name = """
[[rule]]
name = 'y' \\""" ""\\"
[[rule]]"""
command = [
  "[[rule]]", '[[rule]]', # [[rule]]
]
cgroup = ["""/a"""", "/["]
parent = [\'\'\'a\'\'\'\', '[']
direct = true
[rule.not]
name = \'\'\'
[[rule]]\'\'\'\'\'
   [[ rule ]]
name = "a"
not = { name = "]]" }
direct = true
[["rule"]]
'name' = "\\"[["
direct = true
[[ "r\\u0075le" ]]
name = "b"
direct = true
'''


@pytest.mark.promise("RULE-02")
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_are_right_whatever_strings_hold(ends: str) -> None:
    book = read_text(NASTY.replace("\n", ends), "f")
    assert not book.findings
    assert [(r.line, r.nth) for r in book.rules] == [(2, 0), (16, 1), (20, 2), (23, 3)]


_PIECES = ["[", "]", "[[rule]]", "\n", '"', "'", "#", "=", "\\", "x", "\n[[rule]]\n", "é", "{", "}"]
_STRINGS = st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)


def _quoted(text: str, how: int) -> str:
    """A TOML string, in one of the ways in which it can be written."""
    if how == 1 and "'''" not in text and not text.endswith("'"):
        return f"'''\n{text}'''"
    if how == 2:
        return '"""\n' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'
    if how == 3 and "'" not in text and "\n" not in text:
        return f"'{text}'"
    return json.dumps(text)


@pytest.mark.promise("RULE-02")
@given(st.lists(st.tuples(_STRINGS, st.integers(0, 3), st.integers(0, 2)), max_size=6))
def test_lines_are_right_whatever_rules_hold(rules: list[tuple[str, int, int]]) -> None:
    text, wanted = "", []
    for comment, how, gap in rules:
        text += "\n" * gap
        wanted.append(text.count("\n") + 1)
        text += f"[[rule]]\nname = 'x'\ncomment = {_quoted(comment, how)} # [[rule]]\ndirect = true\n"
    book = read_text(text, "f")
    assert not book.findings
    assert [r.line for r in book.rules] == wanted
    assert [r.comment for r in book.rules] == [comment for comment, _, _ in rules]


@pytest.mark.promise("RULE-12")
@given(st.text(max_size=200))
def test_any_text_is_taken_or_refused(text: str) -> None:
    for start in ("", "[[rule]]\n", "[[rule]]\nname = "):
        book = read_text(start + text, "f")
        assert all(f.message.isprintable() and f.hint.isprintable() for f in book.findings)


@pytest.mark.promise("RULE-12")
@given(
    st.dictionaries(
        st.sampled_from(
            ["exe", "name", "unit", "user", "cgroup", "via", "not", "direct", "dns", "zzz", "\x1b[1m"]
        ),
        st.recursive(
            st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_values_are_taken_or_refused(values: dict[str, object]) -> None:
    text = "[[rule]]\n" + "\n".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in values.items())
    book = read_text(text, "f")
    assert len(book.rules) + bool(book.findings) == 1
    assert all(f.message.isprintable() and f.hint.isprintable() for f in book.findings)


@pytest.mark.promise("RULE-13")
def test_a_way_is_a_named_route_or_an_adapter_and_the_rule_has_the_last_word() -> None:
    named = {"vpn": Route("wg0", strict=True, gateway4=IPv4Address("192.0.2.1"))}
    assert Via("vpn").route(named) == named["vpn"]
    assert Via("vpn", strict=False, dns=()).route(named) == Route(
        "wg0", False, IPv4Address("192.0.2.1"), dns=()
    )
    assert Via("wan1").route(named) == Route("wan1")


@pytest.mark.parametrize(
    ("way", "strict", "wanted"),
    [
        ('via = "w"', False, "allow"),
        ('via = "w"', True, "deny"),
        ('via = "w"\nwhen_down = "deny"', False, "deny"),
        ('via = "w"\nwhen_down = "allow"', True, "allow"),
        ("direct = true", True, "allow"),
    ],
)
def test_strict_ways_deny_while_the_daemon_is_down(way: str, strict: bool, wanted: str) -> None:
    assert only(f'[[rule]]\nname = "x"\n{way}').if_down(strict=strict) == wanted


@pytest.mark.promise("RULE-14")
def test_the_schema_that_is_shipped_is_that_of_the_code() -> None:
    kept = (ROOT / "rules" / "procroute-rules.schema.json").read_text(encoding="utf-8")
    assert kept == schema.text(), "python -m procroute.rulebook.schema > rules/procroute-rules.schema.json"


@pytest.mark.promise("RULE-14")
def test_the_schema_knows_the_keys_of_the_page_and_describes_them() -> None:
    keys = schema.schema()["$defs"]["WrittenRule"]["properties"]
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert all("description" in key for key in keys.values())
    assert all(f"`{key}`" in page or f"`{key} = " in page for key in keys)


@pytest.mark.promise("RULE-16")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_sound(example: Path) -> None:
    book = read_text(example.read_text(encoding="utf-8"), str(example))
    assert not book.findings
    assert book.rules


@pytest.mark.promise("RULE-16")
def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


def test_the_rules_of_the_page_are_sound() -> None:
    page = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].partition("```")[0]
    assert len(read_text(example, "page").rules) == 2
    assert not read_text(example, "page").findings
