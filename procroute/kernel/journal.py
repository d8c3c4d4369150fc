"""Lines on stderr, with level and fields where the journal of systemd has that. EFFECTS.

Sources: systemd.exec(5), $JOURNAL_STREAM; https://systemd.io/JOURNAL_NATIVE_PROTOCOL; sd-daemon(3), the
prefixes; systemd.journal-fields(7). That page's OBJECT_PID= is not sent: to it journald adds the arguments of
that process. OBJECT_SYSTEMD_UNIT= alone adds nothing, and `journalctl -u` finds by it (for those of uid 0).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from procroute.terminal import printable
from procroute.told import fields_of, level_of

SOCKET: Final = "/run/systemd/journal/socket"
_OF_UNITS: Final = {"unit": "OBJECT_SYSTEMD_UNIT", "user_unit": "OBJECT_SYSTEMD_USER_UNIT"}
_DAEMON: Final = "3"
"""The facility (syslog(3))."""


def write(descriptor: int, name: str, line: str, code: Mapping[str, str] | None = None) -> None:
    """A line, or several that keep together, to where a descriptor leads. name: who says it.

    code: its CODE_ fields. The journal gets an entry; if it does not take that, lines with the level before
    each. Others get plain ones. Raises OSError.
    """
    said = [printable(part) for part in line.splitlines()]
    before = ""
    if _has(descriptor):
        facts = {"PRIORITY": str(level_of(line)), "SYSLOG_IDENTIFIER": name, "SYSLOG_FACILITY": _DAEMON}
        if _send({"MESSAGE": "\n".join(said), **facts, **(code or {}), **dict(_fields(line))}):
            return
        before = f"<{level_of(line)}>"
    os.write(descriptor, "".join(f"{before}{name}: {part}\n" for part in said).encode(errors="replace"))


def _has(descriptor: int) -> bool:
    """Whether what is written there ends in the journal."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _fields(line: str) -> Iterator[tuple[str, str]]:
    for name, value in fields_of(line).items():
        yield _OF_UNITS.get(name, f"PROCROUTE_{name.upper()}"), value


def _send(fields: Mapping[str, str]) -> bool:
    """One entry; whether the journal has taken it. Names of fields: capitals, digits and underscores."""
    message = b"".join(_encoded(fields.items()))
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        return sock.sendto(message, SOCKET) == len(message)
    return False


def _encoded(fields: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    for name, value in fields:
        data = value.encode(errors="replace")
        if b"\n" not in data:
            yield b"%s=%s\n" % (name.encode(), data)
        else:
            yield b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
