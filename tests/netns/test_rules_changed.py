"""Rules that are added, removed, switched and applied while the daemon lives, over both families."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.daemons import Daemon, daemon
from tests.netns.inhabitants import PROBE, bystander, commanded
from tests.netns.ruled import (
    FOLDER,
    PROGRAM,
    done,
    pid_of,
    placed_by,
    refused,
    rules,
    script,
    started,
    write,
)
from tests.netns.running import procroute
from tests.netns.traffic import FAMILIES, SERVER, astray, both_families

promise = pytest.mark.promise
MARKED = [PROBE[0], "-S", "-X", "marker=a", PROBE[-1]]
COMMENTED = """# what a person has written
[[rule]]   # the first
name = 'nobody'  # in quotes of its own
via = "wan2"
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Daemon]:
    """A daemon on a machine whose first default route is by wan2."""
    with Lab(main="both") as lab:
        script(lab)
        with daemon(lab) as running:
            yield running


@promise("RULE-20", "RULE-31")
def test_what_is_added_holds_at_once_until_it_is_removed(running: Daemon) -> None:
    lab = running.lab
    path = write(lab, COMMENTED)
    assert procroute(lab, "reload").returncode == 0
    added = done(lab, "add", "--exe", PROGRAM, "--via", "wan1", "--file", "50-test", "--comment", "why")
    place = added["rule"]["place"]
    assert place == f"{path}:6"
    assert lab.path(path).read_text().startswith(COMMENTED)
    with started(lab, PROGRAM) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1), running.log()
        assert placed_by(running) == [place]
        row = procroute(lab, "ps").stdout.splitlines()[-1].split()
        assert row[2:4] == ["rule", "50-test.toml:6"]
        explained = procroute(lab, "explain", pid_of(command)).stdout
        assert f"(rule) of root, by {place}" in explained
    done(lab, "disable", "50-test.toml:6")
    with started(lab, PROGRAM) as command:
        assert not astray(lab, command, "tcp", 4, lab.wan2)
    done(lab, "enable", place)
    with started(lab, PROGRAM) as command:
        assert not astray(lab, command, "tcp", 6, lab.wan1)
    done(lab, "remove", place)
    assert lab.path(path).read_text() == COMMENTED
    with started(lab, PROGRAM) as command:
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan2)


@promise("RULE-20")
def test_a_passing_rule_stands_in_run(running: Daemon) -> None:
    """Also beside one that was added for good, by whose file it is not shadowed."""
    done(running.lab, "add", "--name", "nobody", "--via", "wan2")
    added = done(running.lab, "add", "--exe", PROGRAM, "--via", "wan1", "--passing")
    assert added["rule"]["place"] == "/run/procroute/rules.d/90-passing.toml:3"
    with started(running.lab, PROGRAM) as command:
        assert not astray(running.lab, command, "tcp", 4, running.lab.wan1)


@promise("RULE-20")
def test_what_cannot_be_is_refused_and_changes_nothing(running: Daemon) -> None:
    lab = running.lab
    path = write(lab, COMMENTED)
    assert procroute(lab, "reload").returncode == 0
    assert "there is no rule 50-test.toml:3" in refused(lab, "remove", "50-test.toml:3")
    assert (
        "no name of a rule file"
        in rules(lab, "add", "--exe", PROGRAM, "--via", "wan1", "--file", "../x").stderr
    )
    assert lab.path(path).read_text() == COMMENTED
    bad = write(lab, "[[rule]]\nexee = 1\n", "60-bad.toml")
    for words in (["add", "--exe", PROGRAM, "--via", "wan1"], ["remove", "50-test.toml:2"]):
        said = refused(lab, *words)
        assert f"{bad}:2" in said
        assert "did you mean exe?" in said or "mend that first" in said
    assert sorted(one.name for one in lab.path(FOLDER).iterdir() if one.is_file()) == [
        "50-test.toml",
        "60-bad.toml",
    ]


@promise("RULE-22")
@both_families
@pytest.mark.parametrize("existing", ["keep", "reset"])
def test_what_runs_already_moves_when_rules_are_applied(running: Daemon, family: int, existing: str) -> None:
    lab = running.lab
    with commanded(lab, MARKED) as command, bystander(lab) as other:
        assert command.ask("tcp", to=SERVER[family], keep="old").router == lab.wan2.wire.node
        done(lab, "add", "--command", "*marker=a *", "--via", "wan1")
        assert not astray(lab, command, "tcp", family, lab.wan2), "not before it is applied"
        assert done(lab, "apply", "--existing", existing)["placed"] == 1
        assert not astray(lab, command, "tcp", family, lab.wan1)
        assert not astray(lab, other, "tcp", family, lab.wan2)
        again = command.ask("again", name="old")
        if existing == "keep":
            assert (again.error, again.said) == ("", "again\n")
        else:
            assert again.error == "ECONNABORTED"
        assert done(lab, "apply")["placed"] == 0


@promise("RULE-22")
def test_who_is_let_go_is_counted(running: Daemon) -> None:
    """By a rule that is gone, and by an exception; not who another rule takes instead."""
    lab = running.lab
    with commanded(lab, MARKED) as command:
        rule = ["add", "--command", "*marker=a *", "--via"]
        done(lab, *rule, "wan1", "--file", "60-first")
        assert procroute(lab, "rules", "apply").stdout == "1 process is on a rule's route now\n"
        done(lab, "disable", "60-first.toml:3")
        assert procroute(lab, "rules", "apply").stdout == "1 process was let go: no rule holds for it\n"
        assert not astray(lab, command, "tcp", 4, lab.wan2)
        done(lab, "enable", "60-first.toml:3")
        done(lab, "apply")
        done(lab, "add", "--command", "*marker=a *", "--direct", "--file", "50-before")
        told = done(lab, "apply")
        assert (told["placed"], told["released"]) == (0, 1)
        assert not astray(lab, command, "tcp", 6, lab.wan2)
        done(lab, "disable", "50-before.toml:3")
        done(lab, "apply")
        done(lab, "remove", "60-first.toml:3")
        other = done(lab, *rule, "wan1", "--strict", "--file", "70-other")["rule"]["place"]
        told = done(lab, "apply")
        assert (told["placed"], told["released"]) == (1, 0)
        assert placed_by(running) == [other]
        assert not astray(lab, command, "tcp", 4, lab.wan1)


@promise("RULE-22", "RULE-31")
def test_another_rule_in_the_place_of_one_that_is_gone_is_another(running: Daemon) -> None:
    """It has put nobody there, and whom the first one has is let go; that one, written anew, is the same."""
    lab = running.lab
    first = ["add", "--command", "*marker=a *", "--via", "wan1"]
    with commanded(lab, MARKED):
        place = done(lab, *first)["rule"]["place"]
        assert done(lab, "apply")["placed"] == 1
        done(lab, "remove", place)
        assert done(lab, *first)["rule"]["place"] == place
        assert placed_by(running) == [place]
        done(lab, "remove", place)
        assert done(lab, "add", "--name", "nobody", "--via", "wan2")["rule"]["place"] == place
        assert placed_by(running) == [""]
        assert done(lab, "apply")["released"] == 1
        assert placed_by(running) == []


@promise("RULE-30")
def test_status_tells_what_is_held(running: Daemon) -> None:
    lab = running.lab
    assert json.loads(procroute(lab, "status", "--json").stdout)["rules"]["held_files"] == 0
    done(lab, "add", "--exe", PROGRAM, "--via", "wan1")
    told = json.loads(procroute(lab, "status", "--json").stdout)
    assert told["rules"] == {"number": 1, "enabled": 1, "held_files": 1, "notes": []}
    assert "holder" in [limit["id"] for limit in told["limits"]]
    shown = procroute(lab, "status").stdout
    assert "1 rule; starts of 1 file are held until they are placed" in shown
    assert "Rules by unit and user need no process" in " ".join(shown.split())
