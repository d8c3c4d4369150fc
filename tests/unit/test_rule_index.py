"""The index finds the same rule as asking all of them in their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procroute.rulebook.index import Index
from procroute.rulebook.route_rule import Conditions, RouteRule, Rulebook, Via
from procroute.rulebook.subject import Ancestor, Subject
from procroute.rulebook.unreachable import unreachable
from tests.unit.rule_oracle import first

pytestmark = pytest.mark.promise("RULE-29")
_PATHS = st.lists(
    st.sampled_from(["/a", "/b", "/*", "/c/**", "/opt/**", "/opt/**/app", "/opt/[ab]pp", "/o*t/ap?"]),
    max_size=2,
).map(tuple)
_NAMES = st.lists(st.sampled_from(["a", "b", "?", "fire*", "*refox", "[f]irefox"]), max_size=2).map(tuple)
_USERS = st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple)
_TREES = st.lists(st.sampled_from(["/abc", "/abc/", "/abc/*", "/**/def", "/a*c"]), max_size=1).map(tuple)
_UNITS = st.lists(st.sampled_from(["abc.service", "*.slice", "ab?.service"]), max_size=1).map(tuple)
_CONDITIONS = st.builds(
    Conditions,
    exe=_PATHS,
    name=_NAMES,
    user=_USERS,
    cgroup=_TREES,
    unit=_UNITS,
    command=st.lists(st.sampled_from(["*marker=a*", "app *", "*"]), max_size=1).map(tuple),
    parent=st.lists(st.sampled_from(["bash", "/opt/**", "b*"]), max_size=1).map(tuple),
)
_RULES = st.lists(
    st.builds(
        RouteRule,
        conditions=_CONDITIONS,
        via=st.sampled_from([Via("x"), None]),
        unless=st.none() | _CONDITIONS,
        enabled=st.booleans(),
        owner=st.sampled_from([0, 1000]),
    ),
    max_size=8,
).map(lambda rules: [_at(rule, line) for line, rule in enumerate(rules)])
_SUBJECTS = st.builds(
    Subject,
    exes=st.sampled_from([("/a",), ("/b",), ("/c/d", "/a"), (), ("/opt",), ("/opt/app",), ("/opt/x/app",)]),
    name=st.sampled_from(["a", "b", "c", "firefox"]),
    command=st.sampled_from([(), ("app", "marker=a"), ("app", "-x")]),
    cgroup=st.sampled_from(["/", "/abc", "/abc/def", "/system.slice/abc.service"]),
    parents=st.sampled_from([(), (Ancestor("bash", "/bin/bash"),), (Ancestor("x", "/opt/x"),)]),
    user=st.sampled_from(["a", "b", ""]),
    uids=st.sampled_from([(0, 0, 0), (1000, 1000, 1000), (1000, 0, 0)]),
)


def _at(rule: RouteRule, line: int) -> RouteRule:
    return RouteRule(**{f: getattr(rule, f) for f in rule.__struct_fields__} | {"file": "f", "line": line})


@given(_RULES, _SUBJECTS)
def test_it_is_the_first_that_matches(rules: list[RouteRule], subject: Subject) -> None:
    assert Index(rules).first(subject) == first(Rulebook(tuple(rules)), subject)


def test_of_keyed_rules_those_are_asked_that_are_told() -> None:
    """Another path of the rule that holds is not the program's."""
    earlier = RouteRule(Conditions(exe=("/b",)), Via("x"), file="f", line=1)
    holds = RouteRule(Conditions(exe=("/a", "/b")), Via("x"), file="f", line=2)
    index = Index([earlier, holds], lambda _: True)
    assert index.first(Subject(exes=("/elsewhere",)), ["/a"]) == holds
    assert index.first(Subject(exes=("/b",)), []) is None


@pytest.mark.promise("RULE-11")
@given(_RULES, _SUBJECTS)
def test_nobody_meets_a_rule_of_which_that_is_said(rules: list[RouteRule], subject: Subject) -> None:
    met = first(Rulebook(tuple(rules)), subject)
    assert met is None or met.line not in [warning.line for warning in unreachable(rules)]
