"""Rules among what else places processes: people, exceptions, programs that execute others, many."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.daemons import Daemon, daemon
from tests.netns.inhabitants import PROBE, RUN, Command, commanded
from tests.netns.many_rules import MANY, computing_per_start, have_many, others_start
from tests.netns.ruled import PROGRAM, PROGRAMS, done, pid_of, placed_by, rule, script, started, write
from tests.netns.running import procroute, until
from tests.netns.traffic import FAMILIES, astray, both_families

promise = pytest.mark.promise
OTHER = f"{PROGRAMS}/other"
_ROUNDS = 4
_AT_MOST = 200e-6
"""Seconds of computing for a start: 10 % of a core at 500 a second."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Daemon]:
    """A daemon on a machine whose first default route is by wan2."""
    with Lab(main="both") as lab:
        for path in (PROGRAM, OTHER):
            script(lab, path)
        with daemon(lab) as running:
            yield running


def hold(running: Daemon, text: str) -> str:
    """Have rules hold; their file."""
    path = write(running.lab, text)
    answer = procroute(running.lab, "reload", timeout=60)
    assert answer.returncode == 0, answer.stderr
    return path


@promise("RULE-28")
@pytest.mark.parametrize("by", ["run", "assign"])
def test_what_a_person_has_placed_stays(running: Daemon, by: str) -> None:
    lab = running.lab
    hold(running, rule(f'exe = ["{PROGRAM}", "{OTHER}"]'))
    words = [*RUN, "--via", "wan2", "--", PROGRAM, *PROBE] if by == "run" else [PROGRAM, *PROBE]
    with commanded(lab, words) as command:
        if by == "assign":
            assert procroute(lab, "assign", pid_of(command), "--via", "wan2").returncode == 0
        done(lab, "apply")
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan2)
        (assignment,) = [one for one in running.ps() if pid_of(command) in str(one["processes"])]
        assert (assignment["how"], assignment["route"]) == (by, "wan2")


@promise("RULE-28")
def test_an_exception_holds_before_later_rules(running: Daemon) -> None:
    lab = running.lab
    path = hold(running, rule(f'exe = "{OTHER}"', way="direct = true") + rule(f'exe = "{PROGRAMS}/*"'))
    with started(lab, PROGRAM) as command, started(lab, OTHER) as excepted:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
            assert not astray(lab, excepted, "tcp", family, lab.wan2)
        assert placed_by(running) == [f"{path}:4"]


@promise("RULE-28")
def test_who_executes_a_program_of_another_rule_goes_by_that(running: Daemon) -> None:
    lab = running.lab
    path = hold(running, rule(f'exe = "{PROGRAM}"') + rule(f'exe = "{OTHER}"', way='via = "wan2"'))
    with started(lab, PROGRAM, OTHER) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan2)
        assert placed_by(running) == [f"{path}:4"]
    with started(lab, OTHER, PROGRAM) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
        assert placed_by(running) == [f"{path}:1"]


@promise("RULE-47")
@both_families
def test_who_cannot_be_noted_is_on_his_route_all_the_same(running: Daemon, family: int) -> None:
    """The program begins before its assignment is written down."""
    lab = running.lab
    hold(running, rule(f'exe = "{PROGRAM}"'))
    with contextlib.ExitStack() as stack:
        with unnoted(lab):
            command = stack.enter_context(started(lab, PROGRAM))
            assert not astray(lab, command, "tcp", family, lab.wan1)
            until(lambda: "is on its route, and not among the assignments yet" in running.log())
        assert [one["route"] for one in running.ps()] == ["wan1"]


@promise("RULE-29")
@pytest.mark.parametrize(
    "condition",
    [
        f'exe = "{PROGRAMS}/none/%d"',
        f'exe = "{PROGRAMS}/none/%d/*"',
        'name = "none%d*"',
        'cgroup = "/none/%d"',
        'parent = "/none/%d"',
    ],
)
def test_ten_thousand_rules_slow_no_start(running: Daemon, condition: str) -> None:
    lab = running.lab
    last = rule(f'exe = "{PROGRAM}"')
    path = hold(running, last)
    few = _start(lab)
    taken = have_many(running, condition)
    many = _start(lab)
    assert len(done(lab, "list")["rules"]) == MANY + 1
    with started(lab, PROGRAM) as command:
        assert not astray(lab, command, "tcp", 4, lab.wan1)
        assert placed_by(running) == [f"{path}:1"]
    # 5 ms where nothing else runs, as is printed; beside other tests a start is not that regular.
    assert many - few < 0.03 * FACTOR, f"{few * 1e3:.1f} ms with one, {many * 1e3:.1f} ms with many"
    print(f"reload {taken:.2f} s; a start {few * 1e3:.1f} ms with one rule, {many * 1e3:.1f} ms with many")


@promise("RULE-34")
@pytest.mark.parametrize(
    "condition", ['command = "*--profile=%d *"', 'unit = "job-%d@*"', 'name = "none%d"', 'parent = "none%d"']
)
def test_ten_thousand_rules_by_news_among_others_starts(running: Daemon, condition: str) -> None:
    """500 starts a second of programs that no rule means; and one that a rule means is found meanwhile."""
    lab = running.lab
    path = hold(running, rule('command = "*marker=a *"'))
    have_many(running, condition)
    # What else runs makes it more, and that it reads its files once more; never less: one round is enough.
    each = [math.inf]
    while min(each) >= _AT_MOST * FACTOR and len(each) <= _ROUNDS:
        each.append(computing_per_start(running))
    assert min(each) < _AT_MOST * FACTOR, each
    starting = others_start(lab)
    with marked(lab) as command:
        until(lambda: placed_by(running) == [f"{path}:1"])
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
    assert starting.wait(60) == 0


def marked(lab: Lab) -> AbstractContextManager[Command]:
    """A probe that the rule `command = "*marker=a *"` means."""
    return commanded(lab, [sys.executable, "-X", "marker=a", *PROBE[1:]])


@promise("NEG-11")
def test_a_daemon_that_asks_all_rules_would_be_noticed() -> None:
    with Lab(main="both") as lab, lesser(lab, "index") as running:
        write(lab, rule('command = "*marker=a *"'))
        have_many(running, 'name = "none%d"')
        assert min(computing_per_start(running) for _ in range(2)) > _AT_MOST


@promise("NEG-11")
def test_a_daemon_that_hears_no_news_finds_nobody() -> None:
    with Lab(main="both") as lab, lesser(lab, "news") as running:
        hold(running, rule('command = "*marker=a *"'))
        with marked(lab) as command:
            assert astray(lab, command, "tcp", 4, lab.wan1)
            assert not placed_by(running)
            done(lab, "apply")
            assert not astray(lab, command, "tcp", 4, lab.wan1), "but for that it is as it should be"


@promise("NEG-12")
def test_a_start_that_waits_until_it_is_noted_would_be_noticed() -> None:
    with Lab(main="both") as lab, lesser(lab, "later") as running:
        script(lab, PROGRAM)
        hold(running, rule(f'exe = "{PROGRAM}"'))
        with unnoted(lab), started(lab, PROGRAM) as command:
            assert astray(lab, command, "tcp", 4, lab.wan1)
        with started(lab, PROGRAM) as command:
            assert not astray(lab, command, "tcp", 4, lab.wan1), "but for that it is as it should be"


def lesser(lab: Lab, without: str) -> AbstractContextManager[Daemon]:
    """A daemon that lacks a mechanism."""
    return daemon(lab, sys.executable, "-m", "tests.netns.lesser_daemon", without)


@contextlib.contextmanager
def unnoted(lab: Lab) -> Iterator[None]:
    """No assignment can be written down meanwhile."""
    folder = "/run/procroute/assignments"
    lab.sh(f"mv {folder} {folder}.away; touch {folder}")
    try:
        yield
    finally:
        lab.sh(f"rm {folder}; mv {folder}.away {folder} 2>/dev/null || true")


def _start(lab: Lab) -> float:
    """Seconds that a held start takes, with its end: the lower quartile of some."""
    script_ = f"i=0; while [ $i -lt 20 ]; do date +%s%N; {PROGRAM} true; i=$((i + 1)); done; date +%s%N"
    times = [int(word) for word in lab.sh(script_).split()]
    return statistics.quantiles((b - a for a, b in itertools.pairwise(times)), n=4)[0] / 1e9
