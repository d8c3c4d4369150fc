"""Rules in a lab's machine: their files, programs that only this machine has, and `procroute rules`.

Marks of held execs are on inodes: programs of tests lie on the lab's own tmpfs, never on the host's.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any, Final

from procroute.lab import Lab
from tests.netns.daemons import Daemon, as_user, for_users
from tests.netns.inhabitants import PROBE, Command, commanded
from tests.netns.running import ENVIRONMENT, PROCROUTE

FOLDER: Final = "/etc/procroute/rules.d"
PROGRAMS: Final = os.environ.get("PROCROUTE_PROGRAMS", "/run/programs")
PROGRAM: Final = f"{PROGRAMS}/wrap"


def write(lab: Lab, text: str, name: str = "50-test.toml", folder: str = FOLDER) -> str:
    """A rule file; its path."""
    where = lab.path(folder)
    where.mkdir(parents=True, exist_ok=True)
    (where / name).write_text(text)
    return f"{folder}/{name}"


def rule(*conditions: str, way: str = 'via = "wan1"') -> str:
    """One rule as text."""
    return "\n".join(("[[rule]]", *conditions, way, ""))


def script(lab: Lab, path: str = PROGRAM, mode: int = 0o755) -> str:
    """A script that becomes its arguments."""
    file = lab.path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('#!/bin/sh\nexec "$@"\n')
    file.chmod(mode)
    return path


def rules(lab: Lab, *words: str, user: int = 0) -> subprocess.CompletedProcess[str]:
    """`procroute rules` with these words, by a user."""
    return lab.run([*as_user(user), *PROCROUTE, "rules", *words], env=ENVIRONMENT)


def done(lab: Lab, *words: str, user: int = 0) -> dict[str, Any]:
    """The same with --json, which must be done; its answer."""
    answer = rules(lab, *words, "--json", user=user)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def refused(lab: Lab, *words: str, user: int = 0) -> str:
    """The same, which must be refused; what is said."""
    answer = rules(lab, *words, user=user)
    assert answer.returncode == 125, (answer.stdout, answer.stderr)
    assert "hint:" in answer.stderr
    return answer.stderr


@contextlib.contextmanager
def started(lab: Lab, *words: str, user: int = 0) -> Iterator[Command]:
    """A probe that was started by these words, of a user."""
    with contextlib.ExitStack() as stack:
        python = stack.enter_context(for_users(lab)) if user else PROBE[0]
        command = [*as_user(user), *words, python, *PROBE[1:]]
        yield stack.enter_context(commanded(lab, command))


def placed_by(running: Daemon) -> list[str]:
    """The rules by which somebody is on a route now."""
    return [one["rule"] for one in running.ps()]


def pid_of(command: Command) -> str:
    """A probe's PID, as its machine counts."""
    return str(command.ask("hello").pid)
