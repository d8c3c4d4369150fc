"""`procroute explain`, asked of the daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, BOB, as_user, daemon, placed
from tests.netns.inhabitants import Command, bystander
from tests.netns.running import ENVIRONMENT, PROCROUTE
from tests.netns.traffic import SERVER, astray, both_families

pytestmark = pytest.mark.promise("EXPLAIN-05")


@pytest.fixture(scope="module")
def alices() -> Iterator[Command]:
    """A command of a user's, which the daemon placed."""
    with Lab(main="both") as lab, daemon(lab), placed(lab, ALICE) as command:
        yield command


def explained(lab: Lab, user: int, *words: str) -> dict[str, Any]:
    """What a user is told."""
    done = lab.run([*as_user(user), *PROCROUTE, "explain", *words, "--json"], env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("user", [ALICE, 0], ids=["its owner", "root"])
@both_families
def test_it_says_who_put_it_there_and_where_its_packets_go(alices: Command, family: int, user: int) -> None:
    told = explained(alices.lab, user, str(alices.ask("hello").pid), SERVER[family])
    (assigned,) = [finding["text"] for finding in told["findings"] if finding["id"] == "assigned"]
    assert assigned.startswith("assignment 1 (run) of ")
    assert told["route"] == "wan1"
    (way,) = [way for way in told["ways"] if not way.get("bound")]
    assert (way["outcome"], way["adapter"]) == ("leaves", "wan1")
    assert not astray(alices.lab, alices, "tcp", family, alices.lab.wan1)


def test_users_are_told_of_their_own_processes_only(alices: Command) -> None:
    lab, pid = alices.lab, str(alices.ask("hello").pid)
    done = lab.run([*as_user(BOB), *PROCROUTE, "explain", pid], env=ENVIRONMENT)
    assert done.returncode == 125
    assert "procroute" in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    with bystander(lab) as other:
        roots = str(other.ask("hello").pid)
        assert lab.run([*as_user(ALICE), *PROCROUTE, "explain", roots], env=ENVIRONMENT).returncode == 125
        assert explained(lab, 0, roots)["route"] is None
