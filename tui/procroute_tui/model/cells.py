"""What a row says in each column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from procroute.terminal import printable
from procroute_tui.model import words
from procroute_tui.model.columns import Column, Role
from procroute_tui.model.listing import Key, Listing

Cell = tuple[str, Role]


def cells(listing: Listing, key: Key, columns: Iterable[Column]) -> list[Cell]:
    """The text of a row's columns, and what each means. Nothing in it can steer a terminal."""
    if isinstance(key, str):
        return [_of_unit(listing, key, column) for column in columns]
    process = listing.machine.processes[key]
    found = [column.cell(listing.facts, process) for column in columns]
    if listing.matches(key):
        return found
    return [(text, "dim") for text, _ in found]


def _of_unit(listing: Listing, unit: str, column: Column) -> Cell:
    machine = listing.machine
    pids: Sequence[int] = listing.below(unit)
    numbers = {machine.processes[pid].assignment for pid in pids} & machine.assignments.keys()
    if column.key == "name":
        fold = "▸" if unit in listing.folded else "▾"
        return f"{fold} {printable(unit)} ({len(pids)})", "name"
    if column.key == "route" and numbers:
        return ", ".join(sorted({printable(machine.assignments[n].called) for n in numbers})), "route"
    if column.key in {"in", "out"} and numbers:
        what = "received" if column.key == "in" else "sent"
        led = [machine.rate_of(machine.leader(n)) for n in numbers if machine.leader(n) in set(pids)]
        if rates := [getattr(rate, what) for rate in led if rate is not None]:
            return words.rate(sum(rates)), ""
    return "", ""
