"""Whose rule: what users add holds for their own processes, and takes nothing from the administrator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, BOB, Daemon, as_user, daemon
from tests.netns.ruled import FOLDER, PROGRAM, PROGRAMS, done, pid_of, refused, rule, script, started, write
from tests.netns.running import procroute, until
from tests.netns.traffic import FAMILIES, astray

promise = pytest.mark.promise
HERS = f"{FOLDER}/users/{ALICE}"


@pytest.fixture(scope="module")
def machine() -> Iterator[Daemon]:
    """A daemon on a machine whose first default route is by wan2."""
    with Lab(main="both") as lab:
        lab.sh(f"mkdir {PROGRAMS}; mount -n -t tmpfs -o mode=755 tmpfs {PROGRAMS}")  # /run is nosuid
        script(lab)
        lab.sh(f"cd {PROGRAMS}; cp $(command -v env) mine; cp mine roots; chmod 4755 roots")
        with daemon(lab) as running:
            yield running


@promise("RULE-26")
def test_a_users_rule_matches_his_processes_alone(running: Daemon) -> None:
    lab = running.lab
    place = done(lab, "add", "--exe", PROGRAM, "--via", "wan1", user=ALICE)["rule"]["place"]
    assert place == f"{HERS}/90-added.toml:3"
    with started(lab, PROGRAM, user=ALICE) as hers, started(lab, PROGRAM, user=BOB) as his:
        for family in FAMILIES:
            assert not astray(lab, hers, "tcp", family, lab.wan1), running.log()
            assert not astray(lab, his, "tcp", family, lab.wan2)
        with started(lab, PROGRAM) as roots:
            assert not astray(lab, roots, "tcp", 4, lab.wan2)
        (assignment,) = running.ps()
        assert (assignment["by"], assignment["owner"], assignment["rule"]) == (ALICE, ALICE, place)
    assert [one["place"] for one in done(lab, "list", user=ALICE)["rules"]] == [place]
    assert done(lab, "list", user=BOB)["rules"] == []
    assert [one["owner"] for one in done(lab, "list")["rules"]] == [ALICE]


@promise("RULE-26")
def test_a_setuid_program_is_not_his(running: Daemon) -> None:
    lab = running.lab
    done(lab, "add", "--exe", f"{PROGRAMS}/*", "--via", "wan1", user=ALICE)
    with started(lab, f"{PROGRAMS}/mine", user=ALICE) as hers:
        assert not astray(lab, hers, "tcp", 4, lab.wan1)
    with started(lab, f"{PROGRAMS}/roots", user=ALICE) as roots:
        for family in FAMILIES:
            assert not astray(lab, roots, "tcp", family, lab.wan2)
        assert running.ps() == []


@promise("RULE-26")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exe", PROGRAM, "--via", "wan1", "--gateway4", "198.51.100.9"], "may not give a gateway"),
        (["--exe", PROGRAM, "--via", "wan1", "--gateway6", "fe80::9"], "may not give a gateway"),
        (["--user", str(BOB), "--via", "wan1"], f"cannot be for {BOB}"),
        (["--cgroup", "/system.slice", "--via", "wan1"], "cannot be for the cgroup /system.slice"),
    ],
)
def test_what_a_user_may_not_is_refused(running: Daemon, words: list[str], said: str) -> None:
    assert said in refused(running.lab, "add", *words, user=ALICE)
    assert not running.lab.path(HERS).exists()
    assert done(running.lab, "list")["rules"] == []


@promise("RULE-26")
def test_a_user_neither_shadows_nor_changes_the_administrators(running: Daemon) -> None:
    lab = running.lab
    path = write(lab, rule(f'exe = "{PROGRAM}"'))
    assert procroute(lab, "reload").returncode == 0
    done(lab, "add", "--exe", PROGRAM, "--direct", "--file", "50-test", user=ALICE)
    with started(lab, PROGRAM, user=ALICE) as hers:
        for family in FAMILIES:
            assert not astray(lab, hers, "tcp", family, lab.wan1)
        found = done(lab, "apply", user=ALICE)
        assert found["placed"] == 0
    for word in ("remove", "disable"):
        assert "is not yours" in refused(lab, word, f"{path}:1", user=ALICE)
        name = path.rpartition("/")[2]
        assert f"{name}:1 is not yours" in refused(lab, word, f"{name}:1", user=ALICE)
        assert "is not yours" in refused(lab, word, f"{HERS}/50-test.toml:3", user=BOB)
    done(lab, "remove", "50-test.toml:3", user=ALICE)
    assert lab.path(path).read_text() == rule(f'exe = "{PROGRAM}"')
    with started(lab, PROGRAM) as roots:
        assert refused(lab, "test", pid_of(roots), user=ALICE)


@promise("RULE-27")
@pytest.mark.parametrize(
    "spoil",
    ["chmod 666 {path}", "chmod 777 {folder}", "chown {user} {path}", "chgrp 1 {path}; chmod g+w {path}"],
)
def test_what_others_can_write_changes_nothing(running: Daemon, spoil: str) -> None:
    lab = running.lab
    path = write(lab, "")
    assert procroute(lab, "reload").returncode == 0
    lab.sh(spoil.format(path=path, folder=FOLDER, user=ALICE))
    lab.run([*as_user(ALICE), "sh", "-c", f"cat >{path}"], stdin=rule(f'exe = "{PROGRAM}"'))
    write(lab, rule(f'exe = "{PROGRAM}"'))
    answer = procroute(lab, "reload")
    assert answer.returncode == 125
    assert "50-test.toml" in answer.stderr or FOLDER in answer.stderr
    assert "can be written by others" in answer.stderr or f"belongs to uid {ALICE}" in answer.stderr
    until(lambda: "rules stay as they were" in running.log())
    with started(lab, PROGRAM) as command:
        assert not astray(lab, command, "tcp", 4, lab.wan2)
    lab.sh(f"chmod 755 {FOLDER}; chmod 644 {path}; chown 0:0 {path}")


@promise("RULE-27")
def test_it_is_told_when_others_may_write_and_when_they_no_longer_may(running: Daemon) -> None:
    """By the mode alone: nothing is written, and nobody has the daemon read again."""
    lab = running.lab
    path = write(lab, rule(f'exe = "{PROGRAM}"'))
    until(lambda: done(lab, "list")["rules"])
    for place in (path, FOLDER):
        lab.sh(f"chmod o+w {place}")
        until(lambda at=place: f"{at}: can be written by others" in (done(lab, "list")["wrong"] or ""))  # type: ignore[misc]
        lab.sh(f"chmod o-w {place}")
        until(lambda: not done(lab, "list")["wrong"])


@promise("RULE-24")
def test_hostile_names_end_no_daemon(running: Daemon) -> None:
    lab = running.lab
    write(lab, rule('name = "*evil*"') + rule('command = "*evil*"'))
    evil = lab.path(f"{PROGRAMS}/\x1b]0;evil\x07\udcff")
    lab.sh(f"mkdir -p {PROGRAMS}")
    evil.write_text('#!/bin/sh\nexec "$@"\n')
    evil.chmod(0o755)
    assert procroute(lab, "reload").returncode == 0
    with started(
        lab, f"{PROGRAMS}/\x1b]0;evil\x07\udcff", "sh", "-c", ': evil; "$@"; :', "\x1b]0;evil"
    ) as command:
        until(running.ps)
        done(lab, "test", pid_of(command))
        for words in (("ps",), ("rules", "test", pid_of(command)), ("rules", "list"), ("status",)):
            said = procroute(lab, *words)
            assert said.returncode == 0
            assert "\x1b]" not in said.stdout + said.stderr
    assert "\x1b" not in running.log()
