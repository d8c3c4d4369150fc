"""News of cgroups' last processes: of each of thousands, also of those that are gone before anybody looks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from tests.netns.running import ENVIRONMENT

pytestmark = pytest.mark.promise("TRUE-06")
PROGRAM = str(Path(__file__).with_name("empties.py"))


def asked(*words: str) -> dict[str, float]:
    """What empties.py says in a machine of its own."""
    with Lab() as lab:
        done = lab.run([sys.executable, PROGRAM, *words], env=ENVIRONMENT, timeout=60)
        assert done.returncode == 0, done.stderr
        found: dict[str, float] = json.loads(done.stdout)
        return found


def test_ten_thousand_are_watched() -> None:
    """Where each cgroup takes so much longer to make, so many less."""
    count = round(10_000 / FACTOR)
    said = asked("all", str(count))
    print(said)
    assert said["found"] == count
    assert said["late"] < 1 * FACTOR


def test_one_that_is_removed_at_once_is_told() -> None:
    assert asked("removed", "30") == {"found": 30}


def test_one_that_is_made_anew_is_another() -> None:
    assert asked("again") == {"found": 3}
