"""What the daemon tells of rules to who watches: that they have changed, whoever changed them, and whom one
would match that is not written yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, BOB, Daemon, daemon
from tests.netns.ruled import FOLDER, PROGRAM, done, pid_of, rule, script, started, write
from tests.netns.running import procroute, until
from tests.netns.watching import Watcher, ask, watcher

promise = pytest.mark.promise


@pytest.fixture(scope="module")
def machine() -> Iterator[Daemon]:
    with Lab(main="both") as lab:
        script(lab)
        with daemon(lab) as running:
            yield running


def listed(lab: Lab, user: int = 0) -> dict[str, Any]:
    return ask(lab, user, do="rules")


def told(seen: Watcher) -> int:
    """How often that rules have changed."""
    seen.read()
    return len(seen.of("rules_changed"))


@promise("RULE-32")
def test_every_change_is_told_whoever_made_it(running: Daemon) -> None:
    """By a request, by an editor, and by a reload; to who has asked for more than assignments."""
    lab = running.lab
    with watcher(lab, traffic=60) as seen, watcher(lab, ALICE, processes=True) as hers, watcher(lab) as bare:
        done(lab, "add", "--exe", PROGRAM, "--via", "wan1")
        seen.wait(lambda: seen.of("rules_changed"))
        hers.wait(lambda: hers.of("rules_changed"))
        assert len(listed(lab)["rules"]) == 1
        before = told(seen)
        write(lab, rule('name = "x"', way='via = "wan2"'))
        seen.wait(lambda: told(seen) > before)
        until(lambda: len(listed(lab)["rules"]) == 2)
        bare.read()
        assert not bare.of("rules_changed")


@promise("RULE-32")
def test_what_has_been_read_is_not_read_again_on_news_of_it(running: Daemon) -> None:
    """News of a file come a moment after the daemon has written it itself; and of one that says the same."""
    lab = running.lab
    with watcher(lab, traffic=60) as seen:
        for number in range(3):
            before = told(seen)
            done(lab, "add", "--name", f"y{number}", "--via", "wan1")
            time.sleep(0.5)  # five times as long as news are left to come together
            assert told(seen) == before + 1
        before = told(seen)
        lab.sh(f"touch {FOLDER}/90-added.toml")
        time.sleep(0.5)
        assert told(seen) == before
        write(lab, rule('name = "z"', way='via = "wan1"'))
        seen.wait(lambda: told(seen) == before + 1)


@promise("RULE-32")
def test_what_is_wrong_with_files_is_told_until_it_is_mended(running: Daemon) -> None:
    lab = running.lab
    done(lab, "add", "--exe", PROGRAM, "--via", "wan1")
    with watcher(lab, traffic=60) as seen:
        path = write(lab, '[[rule]]\nexee = "/x"\nvia = "wan1"\n', "95-bad.toml")
        until(lambda: listed(lab).get("wrong", "").startswith(f"{path}:2: exee is unknown"))
        assert len(listed(lab)["rules"]) == 1, "the rules of before hold"
        assert told(seen) >= 1
        assert f"the files cannot be used: {path}:2" in procroute(lab, "rules", "list").stderr
        before = told(seen)
        lab.path(path).unlink()
        until(lambda: "wrong" not in listed(lab))
        seen.wait(lambda: told(seen) > before)


@promise("RULE-32")
def test_a_way_that_comes_and_goes_is_told(running: Daemon) -> None:
    lab = running.lab
    done(lab, "add", "--name", "nobody", "--via", "late0")
    assert "late0" in listed(lab)["notes"][0]
    with watcher(lab, traffic=60) as seen:
        before = told(seen)
        lab.ip("link add late0 type veth peer name late1")
        try:
            lab.ip("address add 192.0.2.7/24 dev late0")
            lab.ip("link set late1 up")
            lab.ip("link set late0 up")
            lab.ip("route add default via 192.0.2.1 dev late0 metric 9000")
            until(lambda: "notes" not in listed(lab), 20, str(listed(lab)))
            seen.wait(lambda: told(seen) > before)
        finally:
            lab.ip("link del late0")


@promise("RULE-26")
def test_what_does_not_hold_of_a_users_rules_is_his_to_know(running: Daemon) -> None:
    lab = running.lab
    path = write(lab, rule('name = "x"', way='via = "gone0"'), folder=f"{FOLDER}/users/{ALICE}")
    write(lab, rule('name = "y"', way='via = "gone1"'))
    assert procroute(lab, "reload").returncode == 0
    assert [note.partition(":")[0] for note in listed(lab)["notes"]] == [f"{FOLDER}/50-test.toml", path]
    assert len(listed(lab, ALICE)["notes"]) == 2
    assert [note.partition(":")[0] for note in listed(lab, BOB)["notes"]] == [f"{FOLDER}/50-test.toml"]
    added = ask(lab, BOB, do="add-rule", rule={"name": "z", "via": "wan1"})
    assert path not in str(added["notes"])


@promise("RULE-33")
def test_whom_a_rule_would_match_is_told_before_it_is_written(running: Daemon) -> None:
    lab = running.lab
    with started(lab, PROGRAM) as roots, started(lab, PROGRAM, user=ALICE) as hers:
        one, other = int(pid_of(roots)), int(pid_of(hers))
        asked: dict[str, Any] = {"do": "match", "rule": {"command": "*probe*", "via": "wan1"}}
        assert {one, other} <= set(ask(lab, **asked)["pids"])
        found = ask(lab, ALICE, **asked)["pids"]
        assert other in found
        assert one not in found
        program = lab.sh(f"readlink /proc/{other}/exe").strip()
        asked["rule"] = {"exe": program, "user": str(ALICE), "via": "wan1"}
        assert ask(lab, **asked)["pids"] == [other]
        asked["rule"]["not"] = {"user": str(ALICE)}
        assert ask(lab, **asked)["pids"] == []
    assert listed(lab)["rules"] == []


@promise("RULE-33")
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"user": str(BOB), "via": "wan1"}, f"cannot be for {BOB}"),
        ({"exe": "/x", "via": "wan1", "gateway4": "192.0.2.9"}, "may not give a gateway"),
        ({"via": "wan1"}, "a rule needs a condition"),
        ({"exe": "x", "via": "wan1"}, "exe"),
    ],
)
def test_of_what_cannot_be_a_rule_that_is_said(running: Daemon, rule: dict[str, str], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        ask(running.lab, ALICE, do="match", rule=rule)


@promise("RULE-32")
def test_each_rule_whose_way_is_not_there_is_told(running: Daemon) -> None:
    lab = running.lab
    write(lab, rule('name = "a"', way='via = "vpn9"') + rule('name = "b"', way='via = "vpn9"'))
    procroute(lab, "reload")
    notes = listed(lab)["notes"]
    assert [note.split(": ")[1].startswith("there is no adapter vpn9") for note in notes] == [True] * 2, notes
    lab.sh(f"rm -r {FOLDER}")
    procroute(lab, "reload")
