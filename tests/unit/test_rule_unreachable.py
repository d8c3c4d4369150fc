"""Rules that nobody meets, since an earlier one takes all that they mean."""

from __future__ import annotations

import pytest

from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import RouteRule
from procroute.rulebook.unreachable import unreachable

promise = pytest.mark.promise


def _lines(*rules: str, owners: tuple[int, ...] = ()) -> list[int]:
    """The lines of those that are told; a rule has three."""
    found: list[RouteRule] = []
    for nth, rule in enumerate(rules):
        owner = owners[nth] if owners else 0
        book = read_text(f"[[rule]]\n{rule}\ndirect = true\n", f"{nth}", owner)
        assert not book.findings
        found += book.rules
    return [int(warning.file) for warning in unreachable(found)]


@promise("RULE-11")
@pytest.mark.parametrize(
    ("earlier", "later", "told"),
    [
        ('user = "a"', 'user = "a"', True),
        ('user = "a"', 'user = "a"\nexe = "/x"', True),
        ('user = ["a", "b"]', 'exe = "/x"\nuser = "b"', True),
        ('user = "a"', 'user = "a"\nnot = { name = "x" }', True),
        ('user = "a"\nnot = { name = "x" }', 'user = "a"\nnot = { name = "x" }', True),
        ('not = { name = "x" }', 'not = { name = "x" }\nuser = "a"', True),
        ('user = "a"\nexe = "/x"', 'user = "a"', False),
        ('user = "b"', 'user = ["a", "b"]', False),
        ('user = "a"\nnot = { name = "x" }', 'user = "a"', False),
        ('user = "a"\nenabled = false', 'user = "a"', False),
        ('user = "a"', 'user = "a"\nenabled = false', False),
        ('exe = "/x"', 'name = "/x"', False),
    ],
)
def test_same_conditions_or_fewer(earlier: str, later: str, told: bool) -> None:
    assert _lines(earlier, later) == ([1] if told else [])


@promise("RULE-11")
def test_of_a_user_only_his_own_rules_take_his() -> None:
    name = 'name = "x"'
    assert _lines(name, name, owners=(0, 1000)) == [1]
    assert _lines(name, name, owners=(1000, 1000)) == [1]
    assert _lines(name, name, name, owners=(1000, 1001, 0)) == []


@promise("RULE-11")
def test_ten_thousand_take_no_time() -> None:
    text = "".join(f'[[rule]]\nuser = "a"\nname = "x{n}"\ndirect = true\n' for n in range(10_000))
    assert unreachable(read_text(text, "f").rules) == []
    again = read_text(text + '[[rule]]\nname = "x7"\nuser = "a"\ndirect = true\n', "f")
    assert len(unreachable(again.rules)) == 1
