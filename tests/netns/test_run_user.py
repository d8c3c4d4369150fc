"""`run` as somebody else, and under sudo."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procroute.lab import Lab
from tests.netns.running import ENVIRONMENT, procroute, run_by, unchanged
from tests.netns.traffic import SERVER

_WHO = """
import json, os, socket
with socket.socket() as s:
    mark = s.getsockopt(socket.SOL_SOCKET, socket.SO_MARK)
keys = ("HOME", "USER", "LOGNAME", "SHELL", "KEPT", "PATH")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
ids = [os.getresuid(), os.getresgid(), sorted(os.getgroups()), status["CapEff"].strip()]
print(json.dumps([ids, {k: os.environ.get(k) for k in keys}, mark]))
"""
_NOTE = "procroute: the command runs as root; --user alice runs it as alice\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        with lab.path("/etc/passwd").open("a") as passwd:
            passwd.write("alice:x:4321:4322:Alice:/home/alice:/bin/dash\nnogroups:x:4400:4400::/:\n")
        with lab.path("/etc/group").open("a") as group:
            group.write("alice:x:4322:\nfriends:x:4323:alice\nwheels:x:4324:root,alice\n")
        yield lab


def who(lab: Lab, *options: str, env: dict[str, str] | None = None) -> Any:
    """What a routed command is: its ids, some of its environment, the mark of its sockets."""
    # The system's own Python: the virtual environment need not be readable for others.
    words = [*run_by("wan1", *options), str(Path("/usr/bin/python3").resolve()), "-S", "-c", _WHO]
    done = lab.run(words, env=ENVIRONMENT | {"KEPT": "of ours"} | (env or {}), check=True)
    return json.loads(done.stdout)


@pytest.mark.promise("CLI-10")
@pytest.mark.parametrize("name", ["alice", "4321"])
def test_the_command_is_that_user_wholly(lab: Lab, name: str) -> None:
    with unchanged(lab):
        ids, environment, mark = who(lab, "--user", name)
    uids, gids, groups, capabilities = ids
    assert (uids, gids) == ([4321] * 3, [4322] * 3)
    assert groups == [4322, 4323, 4324]  # set before the uid: later only root may
    assert int(capabilities, 16) == 0
    assert mark
    assert environment["HOME"] == "/home/alice"
    assert environment["USER"] == environment["LOGNAME"] == "alice"
    assert environment["SHELL"] == "/bin/dash"
    assert environment["KEPT"] == "of ours"


@pytest.mark.promise("CLI-10")
def test_a_user_without_groups_has_none_of_roots(lab: Lab) -> None:
    ids, environment, _ = who(lab, "--user", "nogroups")
    assert ids[:3] == [[4400] * 3, [4400] * 3, [4400]]
    assert environment["SHELL"] == "/bin/sh"


@pytest.mark.promise("CLI-10")
def test_without_it_nothing_changes(lab: Lab) -> None:
    ids, environment, _ = who(lab, env={"HOME": "/somewhere", "USER": "whoever"})
    assert ids[0] == [0] * 3
    assert (environment["HOME"], environment["USER"]) == ("/somewhere", "whoever")


@pytest.mark.promise("CLI-10", "PATH-01")
@pytest.mark.parametrize("family", [4, 6])
def test_the_users_command_leaves_by_the_adapter(lab: Lab, family: int) -> None:
    script = (
        f"import socket; print(socket.create_connection(({SERVER[family]!r}, 7000), 3).recv(999).decode())"
    )
    lab.clear()
    done = lab.run(
        [*run_by("wan1", "--user", "alice"), "/usr/bin/python3", "-S", "-c", script], env=ENVIRONMENT
    )
    lab.settle()
    assert json.loads(done.stdout)["router"] == "wan1"
    assert not lab.wan2.packets()


@pytest.mark.promise("CLI-09")
def test_under_sudo_it_says_once_who_the_command_runs_as(lab: Lab) -> None:
    done = procroute(
        lab, "run", "--via", "wan1", "--", "true", env={"SUDO_USER": "alice", "SUDO_UID": "4321"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", _NOTE)


@pytest.mark.promise("CLI-09")
@pytest.mark.parametrize(("sudo", "options"), [("alice", ("--user", "alice")), ("root", ()), ("", ())])
def test_where_there_is_nothing_to_say_it_is_not_said(lab: Lab, sudo: str, options: tuple[str, ...]) -> None:
    env = {"SUDO_USER": sudo} if sudo else {}
    done = procroute(lab, "run", "--via", "wan1", *options, "--", "true", env=env)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.promise("CLI-09", "CLI-07")
def test_the_note_is_not_on_stdout(lab: Lab) -> None:
    command = [sys.executable, "-c", "print('only this')"]
    done = lab.run([*run_by("wan1"), *command], env=ENVIRONMENT | {"SUDO_USER": "alice"})
    assert done.stdout == "only this\n"
