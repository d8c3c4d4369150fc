"""Rules of files put programs on their routes, before they run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.daemons import Daemon, daemon
from tests.netns.inhabitants import PROBE, Command, commanded
from tests.netns.ruled import write
from tests.netns.running import until
from tests.netns.traffic import astray, both_families

pytestmark = pytest.mark.promise("RULE-45")
PROGRAM = "/run/programs/wrap"
BY_EXE = f'[[rule]]\nexe = "{PROGRAM}"\nvia = "wan1"\n'


def program(lab: Lab, path: str = PROGRAM) -> str:
    """A program that becomes its arguments; no other machine has this file."""
    file = lab.path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('#!/bin/sh\nexec "$@"\n')
    file.chmod(0o755)
    return path


@contextlib.contextmanager
def started(lab: Lab, *words: str) -> Iterator[Command]:
    """A probe that was started by these words."""
    with commanded(lab, [*words, *PROBE]) as command:
        yield command


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A machine whose first default route is by wan2."""
    with Lab(main="both") as made:
        program(made)
        yield made


@both_families
def test_a_program_starts_on_its_route(lab: Lab, family: int) -> None:
    write(lab, BY_EXE)
    with daemon(lab) as running, started(lab, PROGRAM) as command, started(lab, "env") as bystander:
        assert not astray(lab, command, "tcp", family, lab.wan1), running.log()
        assert not astray(lab, command, "udp", family, lab.wan1)
        assert not astray(lab, bystander, "tcp", family, lab.wan2)
        (assignment,) = running.ps()
        assert (assignment["how"], assignment["rule"]) == ("rule", "/etc/procroute/rules.d/50-test.toml:1")


@both_families
def test_without_the_rule_it_would_not(lab: Lab, family: int) -> None:
    write(lab, BY_EXE + "enabled = false\n")
    with daemon(lab), started(lab, PROGRAM) as command:
        assert astray(lab, command, "tcp", family, lab.wan1)


def test_a_rule_that_is_written_later_holds_at_once(lab: Lab) -> None:
    with daemon(lab) as running:
        write(lab, BY_EXE)
        until(lambda: lab.path("/sys/fs/cgroup/procroute.slice/procroute-wan1.slice").exists())
        until(lambda: _is_routed(lab, running))
        write(lab, "[[rule]]\nexe = 7\n")
        until(lambda: "rules stay as they were" in running.log())
        assert _is_routed(lab, running)
        write(lab, "")
        until(lambda: not _is_routed(lab, running))


def _is_routed(lab: Lab, running: Daemon) -> bool:
    with started(lab, PROGRAM):
        return bool(running.ps())
