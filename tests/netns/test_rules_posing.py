"""Who is not the program that he seems to be: by mounts of his own, by an exec that failed, as a script."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, Daemon, as_user, daemon, for_users
from tests.netns.holding import first, programs, routers
from tests.netns.inhabitants import PROBE, commanded
from tests.netns.ruled import PROGRAMS, done, rule, script, write
from tests.netns.running import procroute
from tests.netns.traffic import FAMILIES, astray, both_families, own_address

promise = pytest.mark.promise
MEANT: Final = f"{PROGRAMS}/meant"
OTHER: Final = f"{PROGRAMS}/other"
TRIES: Final = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.execv(path, [path])
    except OSError:
        pass
"""
"""Executes the first of some programs that can be."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Daemon]:
    """A daemon on a machine whose first default route is by wan2."""
    with Lab(main="both") as lab:
        programs(lab)
        script(lab, OTHER)
        lab.sh(f"cp $(command -v sleep) {MEANT}")
        with daemon(lab) as running:
            yield running


def hold(running: Daemon, text: str, name: str = "50-test.toml") -> None:
    """Have rules hold."""
    write(running.lab, text, name)
    answer = procroute(running.lab, "reload")
    assert answer.returncode == 0, answer.stderr


@promise("RULE-25")
@pytest.mark.parametrize("mounted", [False, True])
def test_what_is_mounted_over_a_program_is_not_that_program(running: Daemon, mounted: bool) -> None:
    """In a mount namespace of his own anybody has what he likes by any path."""
    lab = running.lab
    with for_users(lab) as python:
        shown = MEANT if mounted else python
        hold(running, rule(f'exe = "{shown}"', 'command = "*probe*"'))
        words = f"mount -n --bind {python} {shown} && exec {shown} -S {PROBE[-1]}"
        env = ["env", "LD_LIBRARY_PATH=/run/python/lib", "PYTHONHOME=/run/python"]
        apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", words]
        with commanded(lab, [*as_user(ALICE), *env, *apart]) as command:
            done(lab, "apply")
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan2 if mounted else lab.wan1)


@promise("RULE-28")
def test_a_script_stays_excepted_when_rules_are_read_again(running: Daemon) -> None:
    lab = running.lab
    path = f"{PROGRAMS}/excepted"
    lab.path(path).write_text(f"#!{sys.executable} -S\n{Path(PROBE[-1]).read_text()}")
    lab.path(path).chmod(0o755)
    exception, its = rule(f'exe = "{path}"', way="direct = true"), rule('name = "excepted"')
    hold(running, exception + its)
    with commanded(lab, [path]) as command:
        for text in (exception + its, f"# why\n{exception}{its}"):
            hold(running, text)
            done(lab, "apply")
            for family in FAMILIES:
                assert not astray(lab, command, "tcp", family, lab.wan2)
        hold(running, its)
        done(lab, "apply")
        assert not astray(lab, command, "tcp", 4, lab.wan1), "without the exception it is meant"


@promise("RULE-28", "RULE-44")
@both_families
def test_who_was_denied_a_program_and_executes_another(running: Daemon, family: int) -> None:
    lab = running.lab
    bad = f'via = "wan1"\nstrict = true\ngateway4 = "{own_address(lab.wan1, 4)}"'
    denied = rule(f'exe = "{OTHER}"', way=bad)
    hold(running, denied + rule(f'exe = "{first(family)}"'))
    tries = [sys.executable, "-S", "-c", TRIES, OTHER, first(family)]
    assert dict(routers(lab.run(tries).stdout)) == {"wan1": 1}


@promise("RULE-28")
@both_families
def test_who_could_not_execute_a_program_and_executes_another(running: Daemon, family: int) -> None:
    lab = running.lab
    broken = lab.path(f"{PROGRAMS}/broken")
    broken.write_bytes(b"\x7fELF, and no more")
    broken.chmod(0o755)
    other = rule(f'exe = "{first(family)}"', way='via = "wan2"')
    hold(running, rule(f'exe = "{PROGRAMS}/broken"') + other)
    tries = [sys.executable, "-S", "-c", TRIES, f"{PROGRAMS}/broken", first(family)]
    assert dict(routers(lab.run(tries).stdout)) == {"wan2": 1}
