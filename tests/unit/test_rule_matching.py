"""Which rule a process meets, and why it does not meet the others."""

from __future__ import annotations

import fnmatch
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from procroute.errors import ProcrouteError
from procroute.model import Allowed
from procroute.rulebook.globs import matches_path, matches_tree
from procroute.rulebook.links import followed
from procroute.rulebook.matching import meets, trial, why_not
from procroute.rulebook.owner import check_owner
from procroute.rulebook.reading import read_text
from procroute.rulebook.route_rule import Conditions, RouteRule, Rulebook, Via
from procroute.rulebook.subject import Ancestor, Subject
from tests.unit.rule_oracle import first

APP = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.mozilla.firefox-4711.scope"
SUBJECT = Subject(
    pid=4711,
    exes=("/usr/lib/firefox/firefox", "/home/ada/bin/start"),
    name="firefox",
    command=("firefox", "--profile", "my work"),
    uids=(1000, 1000, 1000),
    user="ada",
    gids=(1000, 27),
    groups=("ada", "sudo"),
    cgroup=APP,
    parents=(Ancestor("start", "/usr/bin/dash"), Ancestor("gnome-shell", "/usr/bin/gnome-shell")),
)


def rule(owner: int = 0, unless: dict[str, Any] | None = None, **conditions: Any) -> RouteRule:
    """A rule with these conditions."""
    plain = {k: (v,) if isinstance(v, str) else v for k, v in conditions.items()}
    wrapped = {k: (v,) if isinstance(v, str) else v for k, v in (unless or {}).items()}
    return RouteRule(
        Conditions(**plain), Via("wan1"), unless=Conditions(**wrapped) if unless else None, owner=owner
    )


@pytest.mark.promise("RULE-05")
@pytest.mark.parametrize(
    ("key", "pattern", "matches"),
    [
        ("exe", "/usr/lib/firefox/firefox", True),
        ("exe", "/home/ada/bin/start", True),
        ("exe", "/usr/lib/*/firefox", True),
        ("exe", "/usr/**", True),
        ("exe", "/home/*/bin/*", True),
        ("exe", "/usr/**/firefox", True),
        ("exe", "/usr/*/firefox", False),
        ("exe", "/usr/lib/firefox", False),
        ("exe", "/usr/lib/firefox/firefo", False),
        ("exe", "/USR/lib/firefox/firefox", False),
        ("name", "firefox", True),
        ("name", "fire*", True),
        ("name", "fire", False),
        ("name", "Firefox", False),
        ("command", "firefox --profile my work", True),
        ("command", "*--profile*", True),
        ("command", "--profile", False),
        ("user", "ada", True),
        ("user", "1000", True),
        ("user", "1001", False),
        ("user", "bob", False),
        ("group", "sudo", True),
        ("group", "27", True),
        ("group", "28", False),
        ("cgroup", APP, True),
        ("cgroup", "/user.slice", True),
        ("cgroup", "/user.slice/user-1000.slice/", True),
        ("cgroup", "/user.slice/user-*.slice", True),
        ("cgroup", "/user.slice/user-1*/**/app.slice", True),
        ("cgroup", "/user", False),
        ("cgroup", "/user.slice/user-100", False),
        ("cgroup", "/", True),
        ("unit", "app-gnome-org.mozilla.firefox-*.scope", True),
        ("unit", "app.slice", True),
        ("unit", "user@1000.service", True),
        ("unit", "user-*.slice", True),
        ("unit", "backup.service", False),
        ("app", "org.mozilla.firefox", True),
        ("app", "org.mozilla.*", True),
        ("app", "firefox", False),
        ("parent", "start", True),
        ("parent", "gnome-*", True),
        ("parent", "/usr/bin/gnome-shell", True),
        ("parent", "/usr/bin/*", True),
        ("parent", "firefox", False),
        ("parent", "/usr/*", False),
    ],
)
def test_each_condition(key: str, pattern: str, matches: bool) -> None:
    one: dict[str, Any] = {key: pattern}
    several: dict[str, Any] = {key: ("nothing", pattern, "more")}
    assert meets(rule(**one), SUBJECT) is matches
    assert meets(rule(**several), SUBJECT) is matches
    assert meets(rule(unless=one), SUBJECT) is not matches
    assert meets(rule(unless=several), SUBJECT) is not matches


@pytest.mark.promise("RULE-05")
def test_all_conditions_must_hold_and_those_of_not_must_not_all() -> None:
    assert meets(rule(name="firefox", user="ada"), SUBJECT)
    assert not meets(rule(name="firefox", user="bob"), SUBJECT)
    assert not meets(rule(name="firefox", unless={"user": "ada", "group": "sudo"}), SUBJECT)
    assert meets(rule(name="firefox", unless={"user": "ada", "group": "wheel"}), SUBJECT)


@pytest.mark.promise("RULE-05")
def test_names_that_the_kernel_cut_are_known_whole() -> None:
    cut = Subject(name="transmission-gt", exes=("/usr/bin/transmission-gtk",), command=("transmission-gtk",))
    assert meets(rule(name="transmission-gtk"), cut)
    assert meets(rule(name="transmission-gt"), cut)
    other = structs.replace(cut, exes=("/usr/bin/python3",), command=("python3",))
    assert not meets(rule(name="transmission-gtk"), other)


@pytest.mark.promise("RULE-05")
def test_the_effective_user_counts_and_names_may_be_missing() -> None:
    assert meets(rule(user="0"), Subject(uids=(1000, 0, 0)))
    assert not meets(rule(user="1000"), Subject(uids=(1000, 0, 0)))
    assert not meets(rule(user=""), Subject(uids=(1000, 1000, 1000)))


@pytest.mark.promise("RULE-05")
def test_who_calls_itself_like_a_path_is_not_that_program() -> None:
    liar = Subject(parents=(Ancestor("/usr/bin/apt", "/home/eve/x"),))
    assert not meets(rule(parent="/usr/bin/apt"), liar)


@pytest.mark.promise("RULE-05")
def test_paths_that_are_links_are_known_by_what_they_lead_to() -> None:
    links = {"/bin/sh": "/usr/bin/dash", "/usr/bin/java": "/usr/lib/jvm/21/bin/java"}
    book = Rulebook(
        (
            rule(exe="/bin/sh", unless={"parent": ("/usr/bin/java", "java")}),
            rule(exe=("/usr/bin/java", "/bin/s*", "/usr/bin/plain")),
        )
    )
    followed_book = followed(book, lambda path: links.get(path, path))
    assert followed_book.rules[0].conditions.exe == ("/bin/sh", "/usr/bin/dash")
    assert followed_book.rules[1].conditions.exe == (
        "/usr/bin/java",
        "/bin/s*",
        "/usr/bin/plain",
        "/usr/lib/jvm/21/bin/java",
    )
    dash = Subject(exes=("/usr/bin/dash",))
    assert first(book, dash) is None
    assert first(followed_book, dash) == followed_book.rules[0]
    by_java = structs.replace(dash, parents=(Ancestor("x", "/usr/lib/jvm/21/bin/java"),))
    assert first(followed_book, by_java) is None
    assert followed(Rulebook(), str) == Rulebook()


@pytest.mark.promise("RULE-05", "RULE-12")
def test_bytes_that_are_no_text_are_matched_by_globs_and_shown_as_such() -> None:
    strange = Subject(exes=("/opt/caf\udce9\x1b[1m/x",), name="\x1b]0;x\a", cgroup="/\udcff.slice")
    assert meets(rule(exe="/opt/caf*/x", cgroup="/?.slice"), strange)
    words = [why_not(r, strange) for r in (rule(exe="y"), rule(name="y"), rule(cgroup="y"))]
    assert all(w.isprintable() for w in words)
    assert words[0] == "exe is /opt/caf??[1m/x, not y"


@pytest.mark.promise("RULE-06")
def test_the_first_that_matches_holds_and_the_earlier_ones_say_why_not() -> None:
    off = structs.replace(rule(name="firefox"), enabled=False)
    rules = (
        rule(exe=("/usr/bin/curl", "/usr/bin/wget")),
        rule(name="firefox", unless={"user": ("ada", "bob")}),
        off,
        rule(owner=1001, name="firefox"),
        rule(unit="backup.service"),
        rule(app="org.mozilla.firefox"),
        rule(name="firefox"),
    )
    book = Rulebook(rules)
    assert first(book, SUBJECT) is rules[5]
    tried = trial(book, SUBJECT)
    assert [t.rule for t in tried] == list(rules[:6])
    assert [t.why for t in tried[:4]] == [
        "exe is /usr/lib/firefox/firefox, /home/ada/bin/start, not /usr/bin/curl or /usr/bin/wget",
        "`not` excepts it: user is ada, 1000",
        "it is switched off",
        "it is for uid 1001 alone; the process has 1000 (real) and 1000 (effective)",
    ]
    assert tried[4].why.startswith("unit is app-gnome-org.mozilla.firefox-4711.scope, app.slice")
    assert tried[5].matches


@pytest.mark.promise("RULE-06")
def test_nothing_matches_nobody() -> None:
    book = Rulebook((rule(name="x"),))
    assert first(book, SUBJECT) is None
    assert [t.matches for t in trial(book, SUBJECT)] == [False]


@pytest.mark.promise("RULE-06")
def test_what_is_unknown_of_a_process_is_said() -> None:
    assert why_not(rule(exe="/x"), Subject()) == "exe is unknown, not /x"
    assert why_not(rule(app="x"), SUBJECT) == "app is org.mozilla.firefox, not x"


@pytest.mark.promise("RULE-07")
@pytest.mark.parametrize(
    ("uids", "matches"),
    [
        ((1000,) * 3, True),
        ((1000, 1000, 0), True),
        ((1000, 0, 0), False),
        ((0, 1000, 0), False),
        ((1001,) * 3, False),
    ],
)
def test_a_users_rule_is_for_his_own_processes(uids: tuple[int, int, int], matches: bool) -> None:
    subject = structs.replace(SUBJECT, uids=uids)
    assert meets(rule(owner=1000, name="firefox"), subject) is matches
    assert bool(why_not(rule(owner=1000, name="firefox"), subject)) is not matches
    assert meets(rule(name="firefox"), subject)


@pytest.mark.promise("RULE-07")
def test_a_users_rule_knows_units_of_his_own_manager_alone() -> None:
    own = rule(owner=1000, unit="*")
    assert meets(own, SUBJECT)
    system = "/system.slice/backup.service"
    session = "/user.slice/user-1000.slice/session-3.scope"
    others = "/user.slice/user-1001.slice/user@1001.service/app.slice/x.service"
    feigned = "/system.slice/evil.service/user.slice/user-1000.slice/user@1000.service/x.service"
    for cgroup in (system, session, others, feigned):
        assert not meets(own, structs.replace(SUBJECT, cgroup=cgroup))
        assert meets(rule(unit="*"), structs.replace(SUBJECT, cgroup=cgroup))


@pytest.mark.promise("RULE-08")
@pytest.mark.parametrize(
    ("says", "allowed", "what"),
    [
        ('name = "x"\nvia = "w"', Allowed(), ""),
        ('user = ["ada", "1000"]\nvia = "w"\ndns = "192.0.2.53"', Allowed(), ""),
        ('user = "bob"\nvia = "w"', Allowed(), "cannot be for bob"),
        ('user = "0"\ndirect = true', Allowed(), "cannot be for 0"),
        ('cgroup = "/system.slice"\nvia = "w"', Allowed(), "the cgroup /system.slice"),
        ('cgroup = "/user.slice/user-1000.slice"\nvia = "w"', Allowed(), ""),
        ('cgroup = "/user.slice/user-1000.slice/**"\nvia = "w"', Allowed(), ""),
        ('cgroup = "/user.slice/user-*.slice/"\nvia = "w"', Allowed(), "the cgroup /user.slice/user-*"),
        ('name = "x"\nvia = "w"\ngateway4 = "192.0.2.1"', Allowed(), "may not give a gateway"),
        ('name = "x"\nvia = "w"\ngateway6 = "2001:db8::1"', Allowed(), "may not give a gateway"),
        ('name = "x"\nvia = "w"\ngateway4 = "192.0.2.1"', Allowed(gateway_in_rules=True), ""),
        (
            'name = "x"\nvia = "w"\ngateway4 = "192.0.2.1"',
            Allowed(gateway=False, gateway_in_rules=True),
            "may not give a gateway",
        ),
        ('name = "x"\nvia = "w"\ndns = "system"', Allowed(dns=False), "may not give name servers"),
    ],
)
def test_what_a_user_may_write(says: str, allowed: Allowed, what: str) -> None:
    (own,) = read_text(f"[[rule]]\n{says}", "f", 1000).rules
    assert own.owner == 1000
    check_owner(own, 0, "root", Allowed())
    if not what:
        check_owner(own, 1000, "ada", allowed)
        return
    with pytest.raises(ProcrouteError, match="rule of yours") as refused:
        check_owner(own, 1000, "ada", allowed)
    assert refused.value.code == "not-permitted"
    assert what in refused.value.message


# ---------------------------------------------------------------------------------------------- properties

_WORDS = st.text(st.sampled_from("ab/."), max_size=8)
_NAMES = st.text(st.sampled_from("ab.-"), min_size=1, max_size=4)
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
_GLOBS = st.lists(
    st.one_of(_NAMES, st.sampled_from(["*", "**", "a*", "?", "[ab]*", "[!a]"])), min_size=1, max_size=4
).map(lambda parts: "/" + "/".join(parts))


def _by_hand(pattern: list[str], path: list[str]) -> bool:
    """The meaning of a path's glob, the slow and simple way."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_by_hand(pattern[1:], path[n:]) for n in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _by_hand(pattern[1:], path[1:])


@pytest.mark.promise("RULE-05")
@given(_GLOBS, _PATHS)
def test_globs_of_paths_mean_what_they_say(pattern: str, path: str) -> None:
    assert matches_path(pattern, path) == _by_hand(pattern.split("/"), path.split("/"))


@pytest.mark.promise("RULE-05")
@given(_GLOBS, _PATHS)
def test_a_tree_is_a_path_and_all_below_it(pattern: str, path: str) -> None:
    parts = path.split("/")
    above = ["/".join(parts[:n]) or "/" for n in range(1, len(parts) + 1)]
    assert matches_tree(pattern, path) == any(matches_path(pattern, folder) for folder in above)


@pytest.mark.promise("RULE-12")
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("/" + "*a" * 60 + "b", "/" + "a" * 200),
        ("/" + "**/a/" * 60 + "b", "/" + "a/" * 200 + "c"),
        ("/" + "**/*a*a*a*a/" * 20 + "b", "/" + "aaaaaaaa/" * 100 + "c"),
    ],
)
def test_no_glob_takes_long(pattern: str, text: str) -> None:
    began = time.process_time()
    assert not matches_path(pattern, text)
    assert time.process_time() - began < 1


_KEYS = st.sampled_from(Conditions.__struct_fields__)
_SOME = st.dictionaries(
    _KEYS, st.lists(_WORDS | _GLOBS | _PATHS, min_size=1, max_size=2).map(tuple), max_size=3
)
_SUBJECTS = st.builds(
    Subject,
    exes=st.lists(_PATHS, max_size=2).map(tuple),
    name=_WORDS,
    command=st.lists(_WORDS, max_size=2).map(tuple),
    uids=st.tuples(*[st.sampled_from([0, 1000])] * 3),
    user=_NAMES,
    groups=st.lists(_NAMES, max_size=2).map(tuple),
    cgroup=_PATHS,
    parents=st.lists(st.builds(Ancestor, _WORDS, _PATHS), max_size=2).map(tuple),
)
_RULES = st.builds(
    RouteRule,
    _SOME.map(lambda some: Conditions(**some)),
    st.just(None),
    unless=st.none() | _SOME.map(lambda some: Conditions(**some)),
    enabled=st.booleans(),
    owner=st.sampled_from([0, 1000]),
)


@pytest.mark.promise("RULE-05", "RULE-06")
@given(st.lists(_RULES, max_size=5), _SUBJECTS)
def test_reasons_and_matches_agree_and_the_first_holds(rules: list[RouteRule], subject: Subject) -> None:
    book = Rulebook(tuple(rules))
    assert [not why_not(r, subject) for r in rules] == [meets(r, subject) for r in rules]
    matching = [r for r in rules if meets(r, subject)]
    assert first(book, subject) == (matching[0] if matching else None)
    tried = trial(book, subject)
    assert [t.matches for t in tried] == [False] * (len(tried) - len(matching[:1])) + [True] * len(
        matching[:1]
    )


@pytest.mark.promise("RULE-05")
@given(_RULES, _SUBJECTS, _KEYS, _WORDS)
def test_one_more_condition_never_matches_more_and_one_more_pattern_never_less(
    rule: RouteRule, subject: Subject, key: str, pattern: str
) -> None:
    given = getattr(rule.conditions, key)
    wider = structs.replace(rule.conditions, **{key: (*given, pattern)})
    more = structs.replace(rule, conditions=wider)
    if given:
        assert meets(more, subject) or not meets(rule, subject)
    else:
        assert meets(rule, subject) or not meets(more, subject)
