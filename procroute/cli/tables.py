"""What rich draws, as text for a terminal or for a pipe."""

from __future__ import annotations

import io
from typing import Any, Final

from rich.console import Console, RenderableType

from procroute.core.overview import Way

_PIPE: Final = 10_000
"""So many columns that nothing wraps."""


def fits(part: RenderableType, columns: int) -> bool:
    """Whether a terminal of so many columns shows it without breaking a word."""
    console = Console(file=io.StringIO(), width=10_000, markup=False, emoji=False, highlight=False)
    return console.measure(part).maximum <= columns


def page(*parts: RenderableType, columns: int) -> str:
    """As `drawn`, in a pipe without wrapping; no blanks at the ends of lines, and no empty lines around."""
    text = drawn(*parts, columns=columns, piped=_PIPE)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def drawn(*parts: RenderableType, columns: int, piped: int) -> str:
    """The parts below each other, in colour where a terminal shows them. Their words are taken as they are: a
    bracket in the name of an adapter is no markup.

    columns: of that terminal; 0: there is none, and it is `piped` columns wide.
    """
    console = Console(
        file=io.StringIO(),
        force_terminal=columns > 0,
        width=columns or piped,
        markup=False,
        emoji=False,
        highlight=False,
    )
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()


def plain_way(way: Way) -> dict[str, Any]:
    """How a family leaves, for JSON."""
    if way.missing:
        return {"usable": False, "missing": way.missing}
    gateway = None if way.gateway is None else str(way.gateway)
    return {"usable": True, "gateway": gateway, "learnt": way.learnt, "answers": way.answers}
