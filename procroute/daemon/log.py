"""What the daemon says, on stderr, a line each: by whoever started it, it ends in the journal."""

from __future__ import annotations

import contextlib
import os
import sys

from procroute.terminal import printable


def log(line: str) -> None:
    """A line; several of them at once keep together. Where stderr has gone nobody can be told."""
    lines = "".join(f"procrouted: {printable(part)}\n" for part in line.splitlines())
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), lines.encode(errors="replace"))
