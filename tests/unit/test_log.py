"""The daemon's lines, with their levels and fields, as the journal takes them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from procroute.daemon.log import log
from procroute.kernel import journal
from procroute.told import NOTICE, told

promise = pytest.mark.promise


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
    assert taken(listener) == {
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
def test_where_the_journal_takes_nothing_it_is_a_line(listener: socket.socket, stderr: Path) -> None:
    listener.close()
    log("ready")
    assert stderr.read_text() == "procrouted: ready\n"
