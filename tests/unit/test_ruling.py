"""What route rules ask of the daemon, and what becomes of what they took when their files change."""

from __future__ import annotations

import pytest

from procroute.core.hold_rules import HoldRule, Starter
from procroute.core.ruling import Kind, elsewhere, gone, hold_rules, kind, with_exceptions
from procroute.rulebook.applications import unit_around
from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import Rulebook

CURL = '[[rule]]\nexe = "/usr/bin/curl"\nvia = "wan1"\n'
UNIT = '[[rule]]\nunit = "backup"\nvia = "wan1"\nwhen_down = "deny"\n'
EXECUTOR = Starter("/usr/lib/systemd/systemd-executor", "/usr/lib/systemd/libsystemd-core-*.so")
ALONE = Starter(EXECUTOR.program)


def book(text: str, owner: int = 0) -> Rulebook:
    """The rules of a file f."""
    return read_text(text, "f", owner)


@pytest.mark.promise("RULE-60")
def test_the_execs_that_are_held() -> None:
    """Of units what systemd starts their programs by, as it loads its library, and never to be denied."""
    found = book(CURL + UNIT)
    curl = HoldRule("f:1", ("/usr/bin/curl",), "deny")
    unit = HoldRule("f:4", (EXECUTOR.opens,), "allow", by=EXECUTOR.program)
    assert hold_rules(found, lambda _: True, EXECUTOR) == [curl, unit]
    assert hold_rules(found, lambda _: True, ALONE) == [curl, HoldRule("f:4", (ALONE.program,), "allow")]
    assert hold_rules(found, lambda _: True) == [curl]
    (its,) = hold_rules(book(UNIT, 1000), lambda _: False, EXECUTOR)
    assert its.uids == frozenset({1000})
    direct = CURL.replace('via = "wan1"', "direct = true")
    assert hold_rules(book(direct + UNIT), lambda _: True) == [HoldRule("f:1", ("/usr/bin/curl",), "allow")]
    assert hold_rules(book(direct), lambda _: True) == [], "there is nothing to except it from"
    for more in ("enabled = false\n", 'name = "x"\n'):
        assert hold_rules(book(UNIT + more), lambda _: True, EXECUTOR) == []


def test_how_rules_find_their_processes() -> None:
    named = book(UNIT.replace("unit", 'exe = "/usr/bin/restic"\nunit'))
    texts = book(CURL + UNIT + CURL.replace("exe", "user").replace("/usr/bin/curl", "ada"))
    assert [kind(rule) for rule in (*texts.rules, *named.rules)] == [
        Kind.HELD,
        Kind.UNIT,
        Kind.USER,
        Kind.HELD,
    ]


@pytest.mark.promise("RULE-28")
def test_rules_that_have_exceptions() -> None:
    direct = CURL.replace('via = "wan1"', "direct = true")
    assert with_exceptions(book(CURL + UNIT)) == frozenset()
    assert "f:7" in with_exceptions(book(CURL + direct + UNIT))
    assert "f:1" not in with_exceptions(book(CURL + direct + UNIT))
    assert with_exceptions(book(direct + "enabled = false\n" + UNIT)) == frozenset()


@pytest.mark.promise("RULE-62")
def test_rules_that_stand_elsewhere_now() -> None:
    both, other = book(CURL + UNIT), CURL.replace("curl", "wget")
    assert elsewhere(both, both) == {}
    assert elsewhere(both, book(other + CURL + UNIT)) == {"f:1": "f:4", "f:4": "f:7"}
    assert elsewhere(both, book('# more\n[[rule]]\ncomment = "x"\n' + CURL[9:])) == {"f:1": "f:2"}
    assert elsewhere(both, book(CURL)) == {}, "it is gone, and nothing has its place"
    assert [rule.place for rule in gone(both, book(CURL))] == ["f:4"]
    assert gone(both, book(other + CURL + UNIT)) == ()
    assert gone(both, book(CURL + other)) == (), "another has its place"
    assert elsewhere(both, book(other + UNIT)) == {"f:1": ""}
    off = book(CURL + "enabled = false\n" + UNIT)
    assert elsewhere(both, off) == {"f:4": "f:5"}


@pytest.mark.promise("RULE-61")
@pytest.mark.parametrize(
    ("cgroup", "uid", "unit"),
    [
        ("/system.slice/a.service/b", 0, "/system.slice/a.service"),
        ("/a.slice/a-b.slice/c.scope", 0, "/a.slice/a-b.slice/c.scope"),
        ("/a.slice", 0, ""),
        ("/", 0, ""),
        ("/system.slice/a.service", 1000, ""),
        ("/user.slice/user-1000.slice/user@1000.service/a.service", 1000, None),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice", 1000, ""),
        ("/user.slice/user-1000.slice/user@1000.service", 1000, ""),
        ("/user.slice/user-1001.slice/user@1001.service/a.service", 1000, ""),
    ],
)
def test_the_unit_that_follows(cgroup: str, uid: int, unit: str | None) -> None:
    assert unit_around(cgroup, uid) == (cgroup if unit is None else unit)
