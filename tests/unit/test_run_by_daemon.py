"""`procroute run` where a daemon listens: it asks to be placed, and becomes the command."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procroute import protocol
from procroute.cli import afterwards, by_daemon
from procroute.cli import main as command_line
from procroute.client.connection import Connection
from procroute.core import single
from procroute.errors import Exit
from tests.daemon_stand_in import StandIn
from tests.netns.running import until

promise = pytest.mark.promise
ROOT = Path(__file__).parents[2]
ASSIGNMENT = protocol.Assignment(3, "wan1", "wan1", "run", 1000, 1000, "/procroute.slice")
PLACED = protocol.Placed(assignment=ASSIGNMENT)
BY = ("run", "--via", "wan1", "--")


def call(path: str, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """`procroute WORD…` as somebody starts it."""
    environment = {name: value for name, value in os.environ.items() if name != "SUDO_USER"}
    return subprocess.run(
        [sys.executable, "-m", "procroute", *words],
        cwd=ROOT,
        env=environment | {"PROCROUTE_SOCKET": path} | how.pop("env", {}),
        capture_output=True,
        text=True,
        check=False,
        **how,
    )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StandIn]:
    """One that places whoever asks."""
    with StandIn(tmp_path, lambda _: PLACED) as listening:
        yield listening


@promise("CLIENT-04")
def test_the_process_itself_is_placed_and_becomes_the_command(daemon: StandIn) -> None:
    done = call(daemon.path, *BY, "sh", "-c", 'echo "$$ $0"; cat; exit 7', "a b", input="in")
    assert (done.returncode, done.stderr) == (7, "")
    pid, _, rest = done.stdout.partition(" ")
    assert rest == "a b\nin"
    assert daemon.callers == [int(pid)]
    (asked,) = daemon.asked
    assert isinstance(asked, protocol.Run)
    assert asked.route == protocol.Wanted("wan1")
    assert asked.command == ["sh", "-c", 'echo "$$ $0"; cat; exit 7', "a b"]


@promise("CLIENT-04")
@pytest.mark.parametrize("words", [BY, ("run", "--via=wan1", "--")], ids=["quick", "parsed"])
def test_nothing_of_ours_is_left_in_the_command(daemon: StandIn, words: tuple[str, ...]) -> None:
    script = "ls /proc/self/fd; grep -E 'Sig(Ign|Blk)' /proc/self/status"
    direct = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert call(daemon.path, *words, "sh", "-c", script).stdout == direct


@promise("CLIENT-04")
def test_what_the_caller_ignores_stays_ignored(daemon: StandIn) -> None:
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = call(daemon.path, *BY, "grep", "SigIgn", "/proc/self/status")
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert int(done.stdout.split()[1], 16) & 1 << signal.SIGINT - 1


@promise("CLIENT-04")
@pytest.mark.parametrize("words", [BY, ("run", "--via=wan1", "--")], ids=["quick", "parsed"])
@pytest.mark.parametrize(
    ("content", "mode", "status", "why"),
    [
        (None, 0, Exit.NOT_FOUND, "tool: command not found"),
        ("#!/bin/sh\n", 0o644, Exit.NOT_EXECUTABLE, "tool: Permission denied"),
        ("#!/no/such\n", 0o755, Exit.NOT_EXECUTABLE, "tool: its interpreter is missing"),
        ("echo hi; exit 5\n", 0o755, 5, ""),
    ],
)
def test_a_command_that_cannot_be_executed_has_its_own_status(
    daemon: StandIn,
    tmp_path: Path,
    words: tuple[str, ...],
    content: str | None,
    mode: int,
    status: int,
    why: str,
) -> None:
    tool = tmp_path / "tool"
    if content is not None:
        tool.write_text(content)
        tool.chmod(mode)
    done = call(daemon.path, *words, str(tool))
    assert done.returncode == status
    assert why in done.stderr
    assert done.stdout == ("hi\n" if status == 5 else "")


@promise("CLIENT-04")
def test_a_shell_word_is_explained(daemon: StandIn) -> None:
    done = call(daemon.path, *BY, "cd /")
    assert done.returncode == Exit.NOT_FOUND
    assert done.stderr.splitlines() == [
        "procroute: cd /: command not found",
        "  hint: several words in one: leave out the quotes, or sh -c",
    ]


@promise("CLIENT-04")
def test_notes_are_told_on_stderr_before_the_command_speaks(tmp_path: Path) -> None:
    placed = protocol.Placed(assignment=ASSIGNMENT, notes=["no IPv6 by wan1", "größer"])
    with StandIn(tmp_path, lambda _: placed) as daemon:
        done = call(daemon.path, *BY, "sh", "-c", "echo out; echo mine >&2")
    assert (done.returncode, done.stdout) == (0, "out\n")
    assert done.stderr == "procroute: no IPv6 by wan1\nprocroute: größer\nmine\n"


@promise("CLIENT-04")
@pytest.mark.parametrize("words", [BY, ("run", "--via=wan1", "--")], ids=["quick", "parsed"])
def test_what_the_daemon_refuses_is_told_and_nothing_runs(tmp_path: Path, words: tuple[str, ...]) -> None:
    error = protocol.Error(code="adapter-unknown", message="there is no adapter wan1", hint="wan2?")
    with StandIn(tmp_path, lambda _: error) as daemon:
        done = call(daemon.path, *words, "echo", "hi")
    assert (done.returncode, done.stdout) == (Exit.FAILED, "")
    assert done.stderr == "procroute: there is no adapter wan1\n  hint: wan2?\n"


@promise("CLIENT-02", "CLIENT-04")
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([None], "closed the connection"),
        ([b"\0\0\0\x09{", None], "closed the connection"),
        ([b"\0\0\0\x02[]"], "not understood"),
        ([b"\0\0\0\x02{}"], "another question"),
        ([b'\0\0\0\x03{"a'], "not understood"),
        ([b"\0\0\0\x03\xff\xfe\xfd"], "not understood"),
        ([b"\0\0\0\x04{} {"], "not understood"),
        ([b"\xff\0\0\0"], "not procrouted's socket"),
        ([protocol.Assignments(assignments=[])], "another question"),
        ([protocol.Placed(v=2, assignment=ASSIGNMENT)], "speaks version 2"),
    ],
)
def test_an_answer_that_is_none_starts_nothing(tmp_path: Path, said: list[Any], why: str) -> None:
    with StandIn(tmp_path, lambda _: said) as daemon:
        done = call(daemon.path, *BY, "echo", "hi")
    assert (done.returncode, done.stdout) == (Exit.FAILED, "")
    assert done.stderr.startswith("procroute: ")
    assert why in done.stderr


@promise("CLIENT-02")
def test_a_silent_daemon_starts_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(by_daemon, "TIMEOUT", 0.1)
    monkeypatch.setattr(by_daemon, "become", lambda command: pytest.fail("it was started"))
    with StandIn(tmp_path, lambda _: []) as daemon:
        monkeypatch.setenv("PROCROUTE_SOCKET", daemon.path)
        assert command_line.main([*BY, "true"]) == Exit.FAILED
    assert "has not answered" in capsys.readouterr().err


@promise("CLIENT-04")
def test_while_the_daemon_thinks_it_can_be_interrupted(tmp_path: Path) -> None:
    with StandIn(tmp_path, lambda _: []) as daemon:
        with subprocess.Popen(
            [sys.executable, "-m", "procroute", *BY, "echo", "hi"],
            cwd=ROOT,
            env=os.environ | {"PROCROUTE_SOCKET": daemon.path, "SUDO_USER": "root"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as waiting:
            until(lambda: daemon.asked, what="the request")
            waiting.send_signal(signal.SIGINT)
            out, _ = waiting.communicate(timeout=20)
    assert (waiting.returncode, out) == (Exit.SIGNAL + signal.SIGINT, b"")


@promise("CLIENT-04")
def test_every_option_reaches_the_daemon(daemon: StandIn) -> None:
    typed = "--gateway4 192.0.2.1 --gateway6 fe80::1 --dns 192.0.2.53,2001:db8::53,192.0.2.53"
    call(daemon.path, "run", *typed.split(), "--via", "wan1", "true")
    call(daemon.path, "run", "--via=wan1", "--gateway6=FE80::1%wan1", "--dns=::ffff:192.0.2.53", "true")
    call(daemon.path, "run", "--via", "wan1", "--dns", "system", "true")
    routes = [asked.route for asked in daemon.asked if isinstance(asked, protocol.Run)]
    assert routes == [
        protocol.Wanted("wan1", False, "192.0.2.1", "fe80::1", ["192.0.2.53", "2001:db8::53"]),
        protocol.Wanted("wan1", gateway6="fe80::1%wan1", dns=["192.0.2.53"]),
        protocol.Wanted("wan1", dns=[]),
    ]


@promise("CLIENT-04")
def test_a_long_command_is_shortened_for_the_daemon_alone(daemon: StandIn) -> None:
    words = ["x" * 1000] * 1500
    done = call(daemon.path, *BY, "sh", "-c", "echo $#", "sh", *words)
    assert done.stdout == "1500\n"
    (asked,) = daemon.asked
    assert isinstance(asked, protocol.Run)
    assert asked.command[:4] == ["sh", "-c", "echo $#", "sh"]
    assert len("".join(asked.command)) <= 1 << 14


@promise("CLIENT-04")
def test_bytes_that_are_no_text_are_the_commands(daemon: StandIn) -> None:
    odd = os.fsdecode(b'\xff\x1b"\\')
    done = call(daemon.path, *BY, "sh", "-c", 'printf %s "$1" | od -An -tx1', "sh", odd)
    assert done.stdout.split() == ["ff", "1b", "22", "5c"]
    (asked,) = daemon.asked
    assert isinstance(asked, protocol.Run)
    assert asked.command[-1] == '\ufffd\x1b"\\'


@pytest.mark.root
@promise("CLIENT-07")
@pytest.mark.parametrize("words", [BY, ("run", "--via=wan1", "--")], ids=["quick", "parsed"])
def test_root_has_its_own_resolv_conf(tmp_path: Path, words: tuple[str, ...]) -> None:
    before = Path("/etc/resolv.conf").read_text(encoding="utf-8")
    placed = protocol.Placed(assignment=ASSIGNMENT, resolv_conf="nameserver 192.0.2.53\n")
    with StandIn(tmp_path, lambda _: placed) as daemon:
        done = call(daemon.path, *words, "cat", "/etc/resolv.conf")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nameserver 192.0.2.53\n", "")
    assert Path("/etc/resolv.conf").read_text(encoding="utf-8") == before


@promise("CLIENT-07")
def test_others_keep_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[object] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(by_daemon, "become", became.append)
    placed = protocol.Placed(assignment=ASSIGNMENT, resolv_conf="nameserver 192.0.2.53\n")
    with StandIn(tmp_path, lambda _: placed) as daemon:
        by_daemon.run(Connection(daemon.path), {"via": "wan1"}, ["ls"])
    assert became == [["ls"]]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the engine of this process was asked for."""
    asked: list[Any] = []
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def engine(request: object, identity: object, tell: object) -> int:
        asked.append(request)
        return 7

    monkeypatch.setattr("procroute.engine.run.run", engine)
    monkeypatch.setattr("procroute.config.read", lambda: None)
    return asked


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The socket of a daemon that has been killed."""
    path = str(tmp_path / "dead")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)
    monkeypatch.setenv("PROCROUTE_SOCKET", path)
    return path


@promise("CLIENT-06")
def test_root_goes_on_without_a_dead_daemon_and_says_so(
    embedded: list[Any], dead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main([*BY, "true"]) == 7
    assert len(embedded) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert f"nobody listens at {dead}" in said
    assert "engine of its own" in said


@promise("CLIENT-06")
def test_others_are_told(
    embedded: list[Any], dead: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command_line.main([*BY, "true"]) == Exit.FAILED
    assert not embedded
    said = capsys.readouterr().err.splitlines()
    assert f"nobody listens at {dead}" in said[0]
    assert "procroute daemon" in said[1]


@promise("CLIENT-06")
def test_without_a_socket_all_is_as_without_daemons(
    embedded: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROCROUTE_SOCKET", str(tmp_path / "none"))
    assert command_line.main([*BY, "true"]) == 7
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command_line.main([*BY, "true"]) == Exit.FAILED
    assert "root" in capsys.readouterr().err


@promise("CLIENT-06")
def test_user_needs_an_engine_of_its_own(
    embedded: list[Any], daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCROUTE_SOCKET", daemon.path)
    assert command_line.main(["run", "--via", "wan1", "--user", "me", "--", "true"]) == 7
    assert len(embedded) == 1
    assert not daemon.callers


@promise("CLIENT-06")
@pytest.mark.root
def test_user_is_not_for_the_quick_way(daemon: StandIn) -> None:
    done = call(daemon.path, "run", "--via", "wan1", "--user", "nobody-at-all", "--", "true")
    assert done.returncode == Exit.FAILED
    assert "nobody-at-all" in done.stderr
    assert not daemon.callers


@promise("CLI-09", "CLIENT-04")
@pytest.mark.root
def test_under_sudo_it_names_user_here_too(daemon: StandIn) -> None:
    done = call(daemon.path, *BY, "echo", "hi", env={"SUDO_USER": "me"})
    assert done.stdout == "hi\n"
    assert done.stderr == "procroute: the command runs as root; --user me runs it as me\n"


def test_the_version_is_that_of_the_protocol() -> None:
    assert by_daemon.VERSION == protocol.VERSION


@promise("SINGLE-03")
def test_so_long_is_waited_as_a_hand_over_may_take() -> None:
    assert afterwards.LONGEST == single.LONGEST


@promise("SINGLE-04")
def test_where_it_was_not_placed_nobody_waits(tmp_path: Path) -> None:
    """What waits holds the terminal open: when it has gone, reading that fails (pty(7))."""
    refusal = protocol.Error(code="adapter-unknown", message="there is no adapter wan9")
    with StandIn(tmp_path, lambda _: refusal) as daemon:
        mine, terminal = os.openpty()
        environment = os.environ | {"PROCROUTE_SOCKET": daemon.path, "SUDO_USER": "root"}
        asking = subprocess.Popen(
            [sys.executable, "-m", "procroute", *BY, "true"], cwd=ROOT, env=environment, stderr=terminal
        )
        os.close(terminal)
        seen = b""
        with contextlib.suppress(OSError):
            while some := os.read(mine, 4096):
                seen += some
        os.close(mine)
        assert asking.wait(10) == Exit.FAILED
    assert b"there is no adapter wan9" in seen
    (asked,) = daemon.asked
    assert isinstance(asked, protocol.Run)
    assert asked.ending
