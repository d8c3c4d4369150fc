"""The daemon takes its configuration anew, whole or not at all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from procroute.lab import Lab
from tests.netns.daemons import ALICE, SOCKET, Daemon, as_user, daemon, placed
from tests.netns.running import ENVIRONMENT, PROCROUTE, until
from tests.netns.traffic import FAMILIES, astray, both_families

pytestmark = pytest.mark.promise("DAEMON-10")
ONLY_WAN1 = "[access.'*']\nadapters = [\"wan1\"]\n"
OTHER_NUMBERS = "[identity]\npreference = 5400\n"


@pytest.fixture
def machine() -> Iterator[tuple[Lab, Daemon]]:
    """A machine with a daemon, on which nothing is configured."""
    with Lab(main="both") as lab, daemon(lab) as running:
        yield lab, running


def configure(lab: Lab, text: str) -> None:
    """Write the configuration."""
    lab.path("/etc/procroute").mkdir(exist_ok=True)
    lab.path("/etc/procroute/config.toml").write_text(text)


def ask(lab: Lab, *words: str, user: int = 0) -> tuple[int, str]:
    """A verb's exit status and what it said."""
    done = lab.run([*as_user(user), *PROCROUTE, *words], env=ENVIRONMENT)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@both_families
def test_what_users_may_is_narrowed_at_once(machine: tuple[Lab, Daemon], family: int) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command, placed(lab, ALICE, via="wan2") as other:
        configure(lab, ONLY_WAN1)
        assert ask(lab, "reload") == (0, "")
        assert "the configuration was read again" in running.log()
        pid = str(command.ask("hello").pid)
        status, said = ask(lab, "assign", pid, "--via", "wan2", user=ALICE)
        assert status == 125
        assert "wan2" in said
        assert not astray(lab, command, "tcp", family, lab.wan1)
        assert not astray(lab, other, "tcp", family, lab.wan2), "what he had before, he keeps"
        configure(lab, "")
        assert ask(lab, "reload") == (0, "")
        assert ask(lab, "assign", pid, "--via", "wan2", user=ALICE)[0] == 0
        assert not astray(lab, command, "tcp", family, lab.wan2)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[access.alice]\nadaptors = []\n", "did you mean access.alice.adapters?"),
        ("packet_marks = 3\n" + ONLY_WAN1, "packet_marks must be true or false"),
        ("[access", "not TOML"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_told(machine: tuple[Lab, Daemon], text: str, wrong: str) -> None:
    lab, running = machine
    configure(lab, ONLY_WAN1)
    assert ask(lab, "reload") == (0, "")
    configure(lab, text)
    status, said = ask(lab, "reload")
    assert status == 125
    assert wrong in said
    os.kill(running.process.command_pid(), signal.SIGHUP)
    until(lambda: wrong in running.log())
    assert "stays as it was" in running.log()
    with placed(lab, ALICE) as command:
        status, said = ask(lab, "assign", str(command.ask("hello").pid), "--via", "wan2", user=ALICE)
        assert status == 125
        assert "wan2" in said


def test_the_signal_does_the_same(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    configure(lab, ONLY_WAN1)
    os.kill(running.process.command_pid(), signal.SIGHUP)
    until(lambda: "the configuration was read again" in running.log())
    with placed(lab, ALICE) as command:
        assert ask(lab, "assign", str(command.ask("hello").pid), "--via", "wan2", user=ALICE)[0] == 125


def test_what_cannot_hold_yet_is_said(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    with placed(lab, ALICE) as command:
        configure(lab, f"packet_marks = false\n{OTHER_NUMBERS}")
        status, said = ask(lab, "reload")
        assert status == 0
        assert "packet_marks holds for routes opened from now on; open: wan1" in said
        assert "[identity] holds when procrouted is started anew" in said
        assert "procrouted: [identity] holds when procrouted is started anew" in running.log()
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan1)
        assert len(running.ps()) == 1
    until(lambda: not running.ps())
    with placed(lab, ALICE, via="wan2") as command:
        assert "procroute" not in lab.run(["nft", "list", "tables"]).stdout, (
            "a belt, though it is switched off"
        )
        for family in FAMILIES:
            assert not astray(lab, command, "tcp", family, lab.wan2)


def test_users_may_not_ask_for_it(machine: tuple[Lab, Daemon]) -> None:
    lab, _ = machine
    status, said = ask(lab, "reload", user=ALICE)
    assert status == 125
    assert "only root" in said


@pytest.mark.promise("DAEMON-12")
def test_names_that_nothing_has_are_told(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    configure(lab, "[access.no-such-user]\nadapters = ['wan9', 'wan1']\n")
    said = ask(lab, "reload")[1]
    assert "[access.no-such-user]: there is no user no-such-user" in said
    assert "[access.no-such-user]: there is no adapter wan9 now" in said
    assert "wan1" not in said
    running.stop()
    with daemon(lab) as again:
        assert "there is no adapter wan9 now" in again.log()


@pytest.mark.not_sandboxed("the unit's socket, and so its group, is systemd's")
@pytest.mark.promise("DAEMON-12")
def test_the_group_is_looked_up_again(machine: tuple[Lab, Daemon]) -> None:
    lab, running = machine
    assert "there is no group procroute" in running.log()
    file = lab.path("/etc/group")
    before = file.read_bytes()
    lab.sh(f"chgrp 0 {SOCKET} && chmod 600 {SOCKET}")
    assert ask(lab, "ps", user=ALICE)[0] == 125
    try:
        file.write_bytes(before + b"procroute:x:4711:\n")
        assert "members of the group procroute may ask from now on" in ask(lab, "reload")[1]
        assert ask(lab, "ps", user=ALICE)[0] == 0
        file.write_bytes(before)
        assert "there is no group procroute any more" in ask(lab, "reload")[1]
        assert ask(lab, "ps", user=ALICE)[0] == 125
    finally:
        file.write_bytes(before)
