"""The daemon's lines, with their levels and fields, as the journal takes them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from procroute.daemon.log import log
from procroute.daemon.log_words import told_of
from procroute.holder.report import Report
from procroute.holder.words import Decided
from procroute.kernel import journal
from procroute.protocol import Assignment
from procroute.told import NOTICE, told

promise = pytest.mark.promise
ADAS = "/user.slice/user-1000.slice/user@1000.service"


def taken(listener: socket.socket) -> dict[bytes, bytes]:
    """The entry that has come, read by the rules of its protocol."""
    rest, found = listener.recv(65536), {}
    while rest:
        line, _, rest = rest.partition(b"\n")
        name, plain, value = line.partition(b"=")
        if not plain:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        found[name] = value
    return found


@pytest.fixture
def stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What stderr is: a file of its own."""
    path = tmp_path / "stderr"
    with path.open("w") as file:
        monkeypatch.setattr("procroute.daemon.log.sys", SimpleNamespace(stderr=file))
        yield path


@pytest.fixture
def listener(tmp_path: Path, stderr: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Somebody who listens for entries, as the journal does, which has our stderr."""
    monkeypatch.setattr(journal, "SOCKET", str(tmp_path / "socket"))
    there = stderr.stat()
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.settimeout(5)
        yield sock


@promise("SERVICE-09")
def test_an_entry_has_a_level_and_fields(listener: socket.socket, stderr: Path) -> None:
    log(told("it leaves by wan2", NOTICE, route="wan1", adapter="wan2", uid=0, rule=""))
    found = taken(listener)
    assert found.pop(b"CODE_FILE").endswith(b"/tests/unit/test_log.py")
    assert found.pop(b"CODE_FUNC") == test_an_entry_has_a_level_and_fields.__name__.encode()
    assert found.pop(b"CODE_LINE").isdigit()
    assert found == {
        b"MESSAGE": b"it leaves by wan2",
        b"PRIORITY": b"5",
        b"SYSLOG_IDENTIFIER": b"procrouted",
        b"SYSLOG_FACILITY": b"3",
        b"PROCROUTE_ROUTE": b"wan1",
        b"PROCROUTE_ADAPTER": b"wan2",
        b"PROCROUTE_UID": b"0",
    }
    assert stderr.read_text() == ""


@promise("SERVICE-09")
def test_lines_keep_together_and_no_field_comes_of_them(listener: socket.socket) -> None:
    """A plain line tells of something that does not work."""
    log("it failed\nPRIORITY=0\x1b[31m")
    found = taken(listener)
    assert (found[b"PRIORITY"], found[b"MESSAGE"].splitlines()[0]) == (b"4", b"it failed")
    assert b"\x1b" not in found[b"MESSAGE"]


@promise("SERVICE-09")
@pytest.mark.parametrize("stream", ["", "1:1"])
def test_without_the_journal_it_is_a_line(stderr: Path, monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stream)
    log(told("ready", route="wan1"))
    assert stderr.read_text() == "procrouted: ready\n"


@promise("SERVICE-09")
def test_where_the_journal_takes_no_entry_each_line_has_its_level(
    listener: socket.socket, stderr: Path
) -> None:
    """sd-daemon(3): what comes by a stream is of the level that is before the line."""
    listener.close()
    log(told("ready"))
    log("it failed\nhint: try again")
    assert stderr.read_text().splitlines() == [
        "<6>procrouted: ready",
        "<4>procrouted: it failed",
        "<4>procrouted: hint: try again",
    ]


@promise("SERVICE-09")
@pytest.mark.parametrize(
    ("cgroup", "field"),
    [
        ("/system.slice/a.service", {b"OBJECT_SYSTEMD_UNIT": b"a.service"}),
        (f"{ADAS}/app.slice/b.service", {b"OBJECT_SYSTEMD_USER_UNIT": b"b.service"}),
        ("/procroute.slice", {}),
    ],
)
def test_journalctl_finds_what_is_about_a_unit(
    listener: socket.socket, cgroup: str, field: dict[bytes, bytes]
) -> None:
    log(told_of(Assignment(7, "wan1", "wan1", "run", 1000, 0, cgroup), "it ends", pid=42))
    found = taken(listener)
    assert {name: value for name, value in found.items() if name.startswith(b"OBJECT_")} == field
    assert (found[b"PROCROUTE_PID"], found[b"PROCROUTE_ASSIGNMENT"]) == (b"42", b"7")


@promise("SERVICE-09")
@pytest.mark.parametrize(("why", "level"), [("late", b"4"), ("own", b"5")])
def test_what_the_holder_says_has_levels_too(
    listener: socket.socket, stderr: Path, monkeypatch: pytest.MonkeyPatch, why: str, level: bytes
) -> None:
    with stderr.open("a") as its:
        monkeypatch.setattr("procroute.holder.report._STDERR", its.fileno())
        report = Report()
        report.decided(Decided(42, 1, ("f:1",), "/x\ny", False, why, 0.0))
        found = taken(listener)
        listener.close()
        report.say("it failed")
    assert found[b"PRIORITY"] == level
    assert (found[b"SYSLOG_IDENTIFIER"], found[b"PROCROUTE_PID"]) == (b"procroute-hold", b"42")
    assert found[b"PROCROUTE_RULE"] == b"f:1"
    assert len(found[b"MESSAGE"].splitlines()) == 1
    assert stderr.read_text() == "<4>procroute-hold: it failed\n"
