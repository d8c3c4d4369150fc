"""What the daemon says, on stderr, a line each; to the journal, where that has it, with level and fields."""

from __future__ import annotations

import contextlib
import os
import sys

from procroute.kernel import journal
from procroute.terminal import printable
from procroute.told import fields_of, level_of


def log(line: str) -> None:
    """A line; several of them at once keep together. Where stderr has gone nobody can be told."""
    said = [printable(part) for part in line.splitlines()]
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stderr = sys.stderr.fileno()
        if not (journal.has(stderr) and journal.send(_entry(line, said))):
            os.write(stderr, "".join(f"procrouted: {part}\n" for part in said).encode(errors="replace"))


def _entry(line: str, said: list[str]) -> dict[str, str]:
    fields = {f"PROCROUTE_{name.upper()}": value for name, value in fields_of(line).items()}
    facts = {"PRIORITY": str(level_of(line)), "SYSLOG_IDENTIFIER": "procrouted", "SYSLOG_FACILITY": "3"}
    return {"MESSAGE": "\n".join(said), **facts, **fields}
