"""Living routed processes, as lines for people: one a route."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from procroute.engine.words import describe
from procroute.terminal import printable

_LISTED: Final = 10
"""So many of a route are named: there may be thousands."""


def listed(living: Iterable[tuple[str, Iterable[int]]]) -> str:
    """`2 routed processes are alive` and a line for each route. living: names of routes and PIDs."""
    of: dict[str, list[int]] = {}
    for route, pids in living:
        of.setdefault(route, []).extend(pids)
    count = sum(map(len, of.values()))
    lines = [f"{count} routed process{' is' if count == 1 else 'es are'} alive"]
    for route, found in of.items():
        if found:
            more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
            lines.append(f"  {printable(route)}: {', '.join(map(describe, found[:_LISTED]))}{more}")
    return "\n".join(lines)
