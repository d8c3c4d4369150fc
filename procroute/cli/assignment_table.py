"""Assignments as a table for people, and as JSON for programs (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from procroute import protocol
from procroute.cli import tables
from procroute.cli.assignment_words import VERSION, command_of, plain, tag
from procroute.terminal import printable
from procroute.user_names import user_name

_LISTED = 20
"""So many processes of an assignment are shown: there may be thousands."""


def as_json(assignments: Sequence[protocol.Assignment]) -> str:
    """One object: {"version": 1, "assignments": [...]}."""
    return json.dumps({"version": VERSION, "assignments": [plain(a) for a in assignments]}, indent=2)


def as_table(assignments: Sequence[protocol.Assignment], columns: int) -> str:
    """For people. columns: of the terminal that shall show it, or 0."""
    if not assignments:
        return "nothing is assigned"
    counted = any(a.sockets is not None for a in assignments)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("id", "route", "how", "owner", *(("on route", "elsewhere") if counted else ()), "pid"):
        right = heading in {"id", "on route", "elsewhere", "pid"}
        table.add_column(heading, overflow="fold", justify="right" if right else "left")
    table.add_column("command", overflow="fold")
    for assignment in assignments:
        first = [tag(assignment), printable(assignment.called), _how(assignment), _user(assignment.owner)]
        if counted:
            first += _sockets(assignment)
        for pid, command in _processes(assignment):
            table.add_row(*first, pid, Text(command, no_wrap=True, overflow="ellipsis"))
            first = [""] * len(first)
    return tables.page(table, columns=columns)


def _how(assignment: protocol.Assignment) -> str:
    """A rule with its file's name and line; --json has the folder."""
    return " ".join(filter(None, (assignment.how, printable(assignment.rule.rpartition("/")[2]))))


def _processes(assignment: protocol.Assignment) -> Iterator[tuple[str, str]]:
    """A PID and a command for each row."""
    for process in assignment.processes[:_LISTED]:
        yield str(process.pid), command_of(process)
    more = len(assignment.processes) - _LISTED
    if more > 0:
        yield "", f"and {more} more"
    if not assignment.processes:
        yield "–", printable(assignment.command) or "–"


def _sockets(assignment: protocol.Assignment) -> list[str]:
    counted = assignment.sockets
    return ["–", "–"] if counted is None else [str(counted.on_route), str(counted.elsewhere)]


def _user(uid: int) -> str:
    return printable(user_name(uid)) or str(uid)
