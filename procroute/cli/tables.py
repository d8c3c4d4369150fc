"""What rich draws, as text for a terminal or for a pipe."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def drawn(*parts: RenderableType, columns: int, piped: int) -> str:
    """The parts below each other, in colour where a terminal shows them.

    columns: of that terminal; 0: there is none, and it is `piped` columns wide.
    """
    console = Console(file=io.StringIO(), force_terminal=columns > 0, width=columns or piped)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()
