"""Rule files, text to text: what was asked for changes, and nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from procroute.errors import ProcrouteError
from procroute.rulebook.editing import added, removed, switched
from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import RouteRule
from procroute.rulebook.shape import WrittenConditions, WrittenRule

CURL = WrittenRule(exe="/usr/bin/curl", via="wan1", strict=True, unless=WrittenConditions(user=["a", "b"]))
FILE = """\
# Rules of this machine.

# the first
[[rule]] # one
name = 'x'   # odd spacing
via = "wan1"

# about the second
[[rule]]
name = "y"
enabled = false # until May
direct = true
[rule.not]
user = 'b' # him

[[rule]]
name = "z"
direct = true
# last words
"""


def rules(text: str) -> list[RouteRule]:
    """The rules of a text that is sound, wherever they stand."""
    book = read_text(text, "f")
    assert not book.findings
    return [structs.replace(r, line=0, nth=0) for r in book.rules]


@pytest.mark.promise("RULE-10")
def test_a_rule_is_added_at_the_end() -> None:
    text = added(FILE, CURL, "f")
    assert text == FILE + (
        '\n[[rule]]\nexe = "/usr/bin/curl"\nnot = {user = ["a", "b"]}\nvia = "wan1"\nstrict = true\n'
    )
    assert rules(text)[:3] == rules(FILE)


@pytest.mark.promise("RULE-10")
def test_a_new_file_says_where_it_comes_from() -> None:
    text = added("", CURL, "f")
    assert text.startswith("# Written by `procroute rules`")
    assert len(rules(text)) == 1
    assert removed(text, 0, "f").startswith("# Written by `procroute rules`")


@pytest.mark.promise("RULE-10")
@pytest.mark.parametrize("nth", [0, 1, 2])
def test_a_rule_is_removed_with_what_is_written_about_it(nth: int) -> None:
    head, *pieces = FILE.split("\n\n")
    kept = [head, *(piece for i, piece in enumerate(pieces) if i != nth)]
    wanted = "\n\n".join(kept).rstrip("\n") + "\n"
    assert removed(FILE, nth, "f") == (wanted if nth < 2 else f"{wanted}\n# last words\n")


@pytest.mark.promise("RULE-10")
def test_a_rule_is_switched_off_and_on() -> None:
    off = switched(FILE, 0, "f", enabled=False)
    assert [r.enabled for r in rules(off)] == [False, False, True]
    assert "name = 'x'   # odd spacing\n" in off
    assert switched(off, 0, "f", enabled=True) == FILE
    on = switched(FILE, 1, "f", enabled=True)
    assert on == FILE.replace("enabled = false # until May", "enabled = true # until May")
    assert switched(FILE, 2, "f", enabled=True) == FILE


@pytest.mark.promise("RULE-10")
@pytest.mark.parametrize("nth", [-1, 3, 99])
def test_there_is_no_such_rule(nth: int) -> None:
    edits: list[Callable[[], str]] = [
        lambda: removed(FILE, nth, "f"),
        lambda: switched(FILE, nth, "f", enabled=False),
    ]
    for edit in edits:
        with pytest.raises(ProcrouteError, match="f has no rule number") as caught:
            edit()
        assert caught.value.code == "rule-unknown"


@pytest.mark.promise("RULE-10")
@pytest.mark.parametrize("text", ["[[rul]]", "[[rule]]\nname = 'x'", "[[rule", "\x1b"])
def test_a_file_that_makes_no_sense_is_not_edited(text: str) -> None:
    edits: list[Callable[[], str]] = [
        lambda: added(text, CURL, "f"),
        lambda: removed(text, 0, "f"),
        lambda: switched(text, 0, "f", enabled=False),
    ]
    for edit in edits:
        with pytest.raises(ProcrouteError) as caught:
            edit()
        assert caught.value.code == "rule-bad"
        assert caught.value.message.startswith("f:1: ")


@pytest.mark.promise("RULE-10")
@pytest.mark.parametrize(
    "rule",
    [
        WrittenRule(exe="curl", via="w"),
        WrittenRule(via="w"),
        WrittenRule(name="x"),
        WrittenRule(name="", via="w"),
    ],
)
def test_a_rule_that_makes_no_sense_is_not_added(rule: WrittenRule) -> None:
    with pytest.raises(ProcrouteError) as caught:
        added(FILE, rule, "f")
    assert caught.value.code == "rule-bad"


@pytest.mark.promise("RULE-10")
def test_what_only_looks_like_a_comment_is_never_cut() -> None:
    text = '[[rule]]\nname = """\n# x"""\ndirect = true\n[[rule]]\ndirect = true\nname = """\n# a\n# b"""\n'
    assert [r.conditions.name for r in rules(text)] == [("# x",), ("# a\n# b",)]
    assert rules(removed(text, 0, "f")) == rules(text)[1:]
    assert rules(removed(text, 1, "f")) == rules(text)[:1]
    before = 'comment = """\n# x"""\n'
    text = f"[[rule]]\nname = 'x'\ndirect = true\n{before}[[rule]]\nname = 'y'\ndirect = true\n"
    with pytest.raises(ProcrouteError, match="without changing another rule"):
        removed(text, 1, "f")


_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
_SOME = _TEXTS | st.lists(_TEXTS, min_size=1, max_size=3)
_WRITTEN = st.builds(
    WrittenRule,
    name=_SOME,
    command=_SOME,
    comment=_TEXTS,
    direct=st.just(True),
    enabled=st.booleans(),
    unless=st.builds(WrittenConditions, name=_SOME),
)
_BETWEEN = st.sampled_from(["", "\n", "# a comment\n", "\n# another\n\n", "  # [[rule]]\n"])


def _as_text(rules: list[tuple[str, WrittenRule]], ends: str) -> str:
    """A file as a person could have written it."""
    text = ""
    for between, rule in rules:
        text += between
        text += "[[rule]] # head\n"
        for key in ("name", "command", "comment"):
            text += f"{key}  =  {json.dumps(getattr(rule, key), ensure_ascii=False).replace(chr(127), '?')}\n"
        text += f"direct = true\nenabled = {str(rule.enabled).lower()} # {key}\n"
    return text.replace("\n", ends)


@pytest.mark.promise("RULE-10")
@given(
    st.lists(st.tuples(_BETWEEN, _WRITTEN), min_size=1, max_size=4),
    st.integers(0, 3),
    _WRITTEN,
    st.sampled_from(["\n", "\r\n"]),
)
def test_edits_change_what_they_should_and_keep_the_rest(
    there: list[tuple[str, WrittenRule]], nth: int, new: WrittenRule, ends: str
) -> None:
    text, nth = _as_text(there, ends), nth % len(there)
    before = rules(text)
    assert rules(removed(text, nth, "f")) == before[:nth] + before[nth + 1 :]
    more = rules(added(text, new, "f"))
    assert more[:-1] == before
    assert more[-1].comment == new.comment
    assert more[-1].conditions.name == ((new.name,) if isinstance(new.name, str) else tuple(new.name))  # type: ignore[arg-type]
    assert more[-1].enabled == new.enabled
    other = switched(text, nth, "f", enabled=not before[nth].enabled)
    assert rules(other) == [
        structs.replace(r, enabled=not r.enabled) if i == nth else r for i, r in enumerate(before)
    ]
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    for edited in (added(text, new, "f"), other):
        assert [x for x in (line.strip() for line in edited.splitlines()) if x.startswith("#")] == comments


@pytest.mark.promise("FND-02")
def test_reading_does_not_import_what_only_writing_needs() -> None:
    program = (
        "import sys, procroute.rulebook.folders, procroute.rulebook.matching, procroute.config.parsing\n"
        "import procroute.cli.main, procroute.cli.rules_check\n"
        "procroute.rulebook.folders.load()\n"
        "assert 'tomlkit' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
