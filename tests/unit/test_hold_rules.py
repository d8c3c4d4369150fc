"""Which rules an exec is held for, and what holder and daemon say of them."""

from __future__ import annotations

import json
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.core.hold_rules import HoldRule, HoldRules, unanswered
from procroute.holder import words

CURL = HoldRule("curl", ("/usr/bin/curl",), "allow")
ADAS = HoldRule("ada", ("/usr/bin/curl", "/opt/*"), "deny", frozenset({1000}))
OPENS = HoldRule("unit", ("/lib/*.so",), "allow", by="/usr/bin/starter")


def test_the_first_comes_first() -> None:
    rules = HoldRules([CURL, ADAS])
    assert rules.concerned(["/usr/bin/curl"], (1000, 1000)) == (CURL, ADAS)
    assert HoldRules([ADAS, CURL]).concerned(["/usr/bin/curl"], (1000, 1000)) == (ADAS, CURL)
    assert rules.paths(opens=False) == {"/usr/bin/curl", "/opt/*"}


@pytest.mark.promise("HOLD-14")
def test_opens_by_a_program() -> None:
    rules = HoldRules([CURL, OPENS])
    assert (rules.paths(opens=True), rules.paths(opens=False)) == ({"/lib/*.so"}, {"/usr/bin/curl"})
    assert rules.concerned(["/lib/*.so"], (0, 0), "/usr/bin/starter") == (OPENS,)
    assert rules.concerned(["/lib/*.so"], (0, 0), "/usr/bin/other") == ()
    assert rules.concerned(["/lib/*.so"], (0, 0)) == (), "it is executed"


@pytest.mark.parametrize("uids", [(0, 0), (1000, 0), (0, 1000), (1001, 1001), None])
def test_a_users_rule_is_for_who_is_that_user_by_both(uids: tuple[int, int] | None) -> None:
    assert HoldRules([ADAS]).concerned(["/opt/*"], uids) == ()
    assert HoldRules([CURL, ADAS]).concerned(["/usr/bin/curl"], uids) == (CURL,)


def test_one_that_denies_is_enough() -> None:
    assert unanswered([CURL])
    assert not unanswered([CURL, ADAS])
    assert unanswered([])


_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\udcff"), max_size=20)
_RULES = st.lists(
    st.builds(
        HoldRule,
        _TEXT,
        st.lists(_TEXT, max_size=3).map(tuple),
        st.sampled_from(["deny", "allow"]),
        st.none() | st.frozensets(st.integers(0, 2**32 - 2), max_size=3),
        _TEXT,
    ),
    max_size=5,
)


@given(_RULES)
def test_rules_arrive_as_they_were_said(rules: list[HoldRule]) -> None:
    packets = [words.decode(packet) for packet in words.hold(rules, 7)]
    assert [rule for packet in packets for rule in words.rules_of(packet)] == rules
    assert [packet["more"] for packet in packets] == [True] * (len(packets) - 1) + [False]


def test_many_rules_come_in_parts_that_fit() -> None:
    rules = [HoldRule(f"{n}", (f"/opt/{string.ascii_letters}/{n}",), "deny") for n in range(10_000)]
    packets = list(words.hold(rules, 1))
    assert max(map(len, packets)) < words.ROOM
    assert sum(len(words.decode(packet)["rules"]) for packet in packets) == 10_000


def test_what_the_holder_says() -> None:
    exec_ = words.Exec(7, 4711, 99, ("k",), "/usr/bin/\udcff")
    decided = words.Decided(4711, 99, ("k", "l"), "/x", False, "late", 1.5)
    for one, name in ((exec_, "exec"), (decided, "decided"), (words.Holding(1, 2, {"/x": "why"}), "holding")):
        assert words.said(words.encode(name, **one._asdict())) == one
    hello = {"version": words.VERSION, "pid": 1, "rules": 2, "untold": 3}
    assert words.said(words.encode("hello", **hello)) == words.Hello(1, 2, 3)
    assert words.said(words.encode("news", of="tomorrow")) is None
    with pytest.raises(ValueError, match="version"):
        words.said(words.encode("hello", **hello | {"version": words.VERSION + 1}))


@pytest.mark.parametrize("wrong", [{"when_down": "maybe"}, {"uids": ["x"]}])
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    rule = {"key": "k", "paths": ["/x"], "when_down": "deny", "uids": None} | wrong
    packet = json.dumps({"say": "hold", "number": 1, "rules": [rule], "more": False}).encode()
    with pytest.raises(ValueError, match=r"maybe|invalid literal"):
        list(words.rules_of(words.decode(packet)))


@pytest.mark.promise("HOLD-09")
def test_the_holder_has_the_standard_library_alone() -> None:
    """As link.py starts it, so that it stays small."""
    words = [sys.executable, "-S", "-s", "-c", "import procroute.holder.holder"]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
