"""A rich table as text, as wide as the terminal, coloured only where that shows."""

from __future__ import annotations

import io
import os
import shutil
import sys

from rich.console import Console, RenderableType

# What a pipe or file gets: wide enough that nothing wraps.
_WIDE = 200


def printed(*parts: RenderableType) -> str:
    """What to write to stdout."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((110, 40)).columns if terminal else _WIDE
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=width, no_color=bool(os.environ.get("NO_COLOR"))
    )
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")
