"""Each condition of a rule takes the process that it means, over both families, and leaves one beside it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, BOB, Daemon, daemon, for_users
from tests.netns.inhabitants import PROBE, Command, commanded
from tests.netns.ruled import PROGRAM, PROGRAMS, done, pid_of, rule, rules, script, write
from tests.netns.running import procroute, until
from tests.netns.traffic import FAMILIES, astray

_GROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True)
class Case:
    """A rule by these conditions; who meets it and who does not, by the words that start a probe.

    held: its start waits for the route.
    """

    id: str
    conditions: tuple[str, ...]
    meets: tuple[str, ...]
    not_: tuple[str, ...]
    held: bool = False


def within(cgroup: str) -> tuple[str, ...]:
    """Words that start what follows in a cgroup, which is made."""
    path = f"{_GROUPS}{cgroup}"
    into = 'mkdir -p "$0"; echo $$ >"$0/cgroup.procs"; exec "$@"'
    return ("sh", "-c", into, path, *PROBE)


def python(*options: str, name: str = "") -> tuple[str, ...]:
    """A probe with options of Python's, or by another name."""
    return (f"{PROGRAMS}/{name}" if name else PROBE[0], "-S", *options, PROBE[-1])


APPS = "/user.slice/user-1000.slice/user@1000.service/app.slice"
SCOPE = f"{APPS}/app-gnome-org.example.{{}}-12.scope"
UUID = "0f6c1b2e-8d1c-4b93-9d2a-1f0e3c5d7a99"
LONG = "a-name-of-more-than-15-bytes"
OF_USER = ("setpriv", "--clear-groups", "--reuid={}", "--regid={}")
CASES = [
    Case("exe", (f'exe = "{PROGRAM}"',), (PROGRAM, *PROBE), (f"{PROGRAMS}/other", *PROBE), True),
    Case("exe-binary", (f'exe = "{PROGRAMS}/env"',), (f"{PROGRAMS}/env", *PROBE), ("env", *PROBE), True),
    Case(
        "exe-glob", (f'exe = "{PROGRAMS}/*/wrap"',), (f"{PROGRAMS}/a/wrap", *PROBE), (PROGRAM, *PROBE), True
    ),
    Case(
        "exe-folders",
        (f'exe = "{PROGRAMS}/**/deep"',),
        (f"{PROGRAMS}/a/b/deep", *PROBE),
        (f"{PROGRAMS}/a/b/deeper", *PROBE),
        True,
    ),
    Case(
        "exe-below", (f'exe = "{PROGRAMS}/a/**"',), (f"{PROGRAMS}/a/b/deep", *PROBE), (PROGRAM, *PROBE), True
    ),
    Case(
        "exe-by-a-link",
        (f'exe = "{PROGRAM}"',),
        (f"{PROGRAMS}/link", *PROBE),
        (f"{PROGRAMS}/other", *PROBE),
        True,
    ),
    Case(
        "exe-that-is-a-link",
        (f'exe = "{PROGRAMS}/link"',),
        (PROGRAM, *PROBE),
        (f"{PROGRAMS}/other", *PROBE),
        True,
    ),
    Case(
        "exe-hard-link",
        (f'exe = "{PROGRAM}"',),
        (f"{PROGRAMS}/hard", *PROBE),
        (f"{PROGRAMS}/other", *PROBE),
        True,
    ),
    Case(
        "exe-or-another",
        (f'exe = ["/nowhere", "{PROGRAM}"]',),
        (PROGRAM, *PROBE),
        (f"{PROGRAMS}/other", *PROBE),
        True,
    ),
    Case(
        "exe-and-user",
        (f'exe = "{PROGRAM}"', f'user = "{ALICE}"'),
        (*(word.format(ALICE, ALICE) for word in OF_USER), PROGRAM, "PYTHON"),
        (*(word.format(BOB, BOB) for word in OF_USER), PROGRAM, "PYTHON"),
        True,
    ),
    Case(
        "exe-not-user",
        (f'exe = "{PROGRAM}"', f'not = {{ user = ["{ALICE}", "4242"] }}'),
        (*(word.format(BOB, BOB) for word in OF_USER), PROGRAM, "PYTHON"),
        (*(word.format(ALICE, ALICE) for word in OF_USER), PROGRAM, "PYTHON"),
        True,
    ),
    Case(
        "exe-by-a-linked-folder",
        (f'exe = "{PROGRAMS}/a/wrap"',),
        (f"{PROGRAMS}/folder/wrap", *PROBE),
        (PROGRAM, *PROBE),
        True,
    ),
    Case(
        "exe-in-a-linked-folder",
        (f'exe = "{PROGRAMS}/folder/wrap"',),
        (f"{PROGRAMS}/a/wrap", *PROBE),
        (PROGRAM, *PROBE),
        True,
    ),
    Case(
        "exe-in-other-mounts",
        (f'exe = "{PROGRAM}"',),
        ("unshare", "-m", PROGRAM, *PROBE),
        ("unshare", "-m", f"{PROGRAMS}/other", *PROBE),
        True,
    ),
    Case(
        "exe-script-by-env",
        (f'exe = "{PROGRAMS}/by-env"',),
        (f"{PROGRAMS}/by-env", *PROBE),
        (f"{PROGRAMS}/other", *PROBE),
        True,
    ),
    Case(
        "exe-of-an-interpreter",
        (f'exe = "{PROGRAMS}/shell"',),
        (f"{PROGRAMS}/by-shell", *PROBE),
        (PROGRAM, *PROBE),
        True,
    ),
    Case(
        "name-longer-than-the-kernel-keeps",
        (f'name = "{LONG}-one"',),
        python(name=f"{LONG}-one"),
        python(name=f"{LONG}-other"),
    ),
    Case("name", ('name = "snake*"',), python(name="snake-one"), python(name="worm")),
    Case("command", ('command = "*marker=a *"',), python("-X", "marker=a"), python("-X", "marker=b")),
    Case(
        "user",
        (f'user = "{ALICE}"',),
        (*(word.format(ALICE, ALICE) for word in OF_USER), "PYTHON"),
        (*(word.format(BOB, BOB) for word in OF_USER), "PYTHON"),
    ),
    Case(
        "group",
        ('group = "4712"',),
        ("setpriv", "--groups=4712", *PROBE),
        ("setpriv", "--groups=4713", *PROBE),
    ),
    Case("cgroup", ('cgroup = "/apps/a*"',), within("/apps/ab/c"), within("/apps/b/a")),
    Case(
        "unit",
        ('unit = "ours"',),
        within("/system.slice/ours.service"),
        within("/system.slice/theirs.service"),
    ),
    Case("app", ('app = "org.example.A*"',), within(SCOPE.format("Ab")), within(SCOPE.format("Ba"))),
    Case(
        "app-escaped",
        ('app = "org.example-b"',),
        within(SCOPE.format("x").replace("org.example.x", r"org.example\x2db")),
        within(SCOPE.format("x").replace("org.example.x", r"org.example\x2dc")),
    ),
    Case(
        "app-flatpak",
        ('app = "org.example.A"',),
        within(f"{APPS}/app-flatpak-org.example.A-77.scope"),
        within(f"{APPS}/app-flatpak-org.example.B-78.scope"),
    ),
    Case(
        "app-service",
        ('app = "org.example.A"',),
        within(f"{APPS}/app-org.example.A@autostart.service"),
        within(f"{APPS}/app-org.example.B@autostart.service"),
    ),
    Case(
        "app-snap",
        ('app = "example_tool"',),
        within(f"{APPS}/snap.example.tool-{UUID}.scope"),
        within(f"{APPS}/snap.example.other-{UUID}.scope"),
    ),
    Case(
        "app-snap-service",
        ('app = "example"',),
        within("/system.slice/snap.example.daemon.service"),
        within("/system.slice/snap.other.daemon.service"),
    ),
    Case("parent", ('parent = "boss"',), (f"{PROGRAMS}/boss", *PROBE), (*PROBE,)),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    """A daemon on a machine whose first default route is by wan2, and programs that only that machine has."""
    with Lab(main="both") as lab:
        for name in ("wrap", "other", "a/wrap", "a/b/deep", "a/b/deeper"):
            script(lab, f"{PROGRAMS}/{name}")
        lab.path(script(lab, f"{PROGRAMS}/boss")).write_text('#!/bin/sh\n"$@"\nexit $?\n')
        lab.sh(
            f"cp $(command -v env) {PROGRAMS}/env; ln -s wrap {PROGRAMS}/link; ln {PROGRAM} {PROGRAMS}/hard"
        )
        lab.sh(f"ln -s a {PROGRAMS}/folder; cp $(readlink -f /bin/sh) {PROGRAMS}/shell")
        for name, interpreter in (("by-env", "/usr/bin/env sh"), ("by-shell", f"{PROGRAMS}/shell")):
            lab.path(script(lab, f"{PROGRAMS}/{name}")).write_text(f'#!{interpreter}\nexec "$@"\n')
        for name in ("snake-one", "worm", f"{LONG}-one", f"{LONG}-other"):
            lab.path(f"{PROGRAMS}/{name}").symlink_to(os.path.realpath(sys.executable))
        with daemon(lab) as found:
            yield found


@pytest.fixture
def ruled(running: Daemon) -> Iterator[Callable[[str], None]]:
    """Have rules hold, and none afterwards."""

    def hold(text: str) -> None:
        write(running.lab, text)
        assert procroute(running.lab, "reload").returncode == 0, running.log()

    yield hold
    hold("")


@contextlib.contextmanager
def probe(lab: Lab, words: tuple[str, ...]) -> Iterator[Command]:
    """A probe by these words; PYTHON: by an interpreter that users find."""
    with contextlib.ExitStack() as stack:
        command = list(words)
        if "PYTHON" in words:
            command = [*words[:-1], stack.enter_context(for_users(lab)), *PROBE[1:]]
        yield stack.enter_context(commanded(lab, command))


@pytest.mark.promise("RULE-25")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_rule_takes_whom_it_means(running: Daemon, ruled: Callable[[str], None], case: Case) -> None:
    lab = running.lab
    ruled(rule(*case.conditions))
    (told,) = done(lab, "list")["rules"]
    assert (told["finds"] == "held") is case.held
    with probe(lab, case.meets) as its, probe(lab, case.not_) as beside:
        if told["finds"] not in ("held", "owner"):
            until(running.ps, what="its place on the route")
        for family in FAMILIES:
            assert not astray(lab, its, "tcp", family, lab.wan1), running.log()
            assert not astray(lab, beside, "tcp", family, lab.wan2)
        if told["finds"] == "owner":
            assert not running.ps()  # his sockets go by the route, and he where he was
            return
        (assignment,) = running.ps()
        assert (assignment["how"], assignment["rule"]) == ("rule", told["place"])
        assert pid_of(its) in [str(process["pid"]) for process in assignment["processes"]]
        assert pid_of(beside) not in [str(process["pid"]) for process in assignment["processes"]]


@pytest.mark.promise("RULE-25", "RULE-22")
def test_a_program_whose_file_has_gone(running: Daemon, ruled: Callable[[str], None]) -> None:
    """It runs on, and is still the program that a rule names."""
    lab = running.lab
    for name in ("gone", "beside"):
        lab.sh(f"cp $(readlink -f /bin/sh) {PROGRAMS}/{name}")
    loop = ("-c", '"$@"; exit $?', "sh")
    with probe(lab, (f"{PROGRAMS}/gone", *loop, *PROBE)), probe(lab, (f"{PROGRAMS}/beside", *loop, *PROBE)):
        lab.sh(f"rm {PROGRAMS}/gone {PROGRAMS}/beside")
        ruled(rule(f'exe = "{PROGRAMS}/gone"'))
        assert not running.ps()
        assert done(lab, "apply")["placed"] == 1
        (assignment,) = running.ps()
        (process,) = assignment["processes"]
        assert process["command"][0] == f"{PROGRAMS}/gone"


@pytest.mark.promise("RULE-21")
def test_it_is_told_which_rule_holds_and_why_others_do_not(
    running: Daemon, ruled: Callable[[str], None]
) -> None:
    lab = running.lab
    ruled(
        rule(f'exe = "{PROGRAM}"', way="direct = true")
        + rule('name = "nobody"', "enabled = false")
        + rule('not = { user = "root" }')
        + rule('command = "*marker=a *"')
    )
    with probe(lab, python("-X", "marker=a")) as its, probe(lab, python()) as other:
        until(running.ps)
        found = done(lab, "test", pid_of(its))
        assert found["holds"].endswith("50-test.toml:11")
        first, second, third, fourth = (one["why"] for one in found["rules"])
        assert first.startswith("exe is /")
        assert (second, third, fourth) == ("it is switched off", "`not` excepts it: user is root, 0", None)
        assert done(lab, "test", pid_of(other))["holds"] is None
        told = rules(lab, "test", pid_of(its)).stdout.splitlines()
        assert told[0].startswith("✘ ")
        assert told[-1].startswith(
            "✔ /etc/procroute/rules.d/50-test.toml:11 holds: command *marker=a *: wan1"
        )
