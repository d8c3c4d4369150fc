"""What the daemon says, on stderr, a line each; to the journal, where that has it, with level and fields."""

from __future__ import annotations

import contextlib
import inspect
import sys
from types import FrameType

from procroute.kernel import journal


def log(line: str) -> None:
    """A line; several of them at once keep together. Where stderr has gone nobody can be told."""
    here = inspect.currentframe()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        journal.write(sys.stderr.fileno(), "procrouted", line, _code(here and here.f_back))


def _code(frame: FrameType | None) -> dict[str, str]:
    """Where it is said."""
    if frame is None:
        return {}
    code = frame.f_code
    return {
        "CODE_FILE": code.co_filename,
        "CODE_LINE": str(frame.f_lineno),
        "CODE_FUNC": code.co_qualname,
    }
