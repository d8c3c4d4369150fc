"""The columns: what a process has in each, by what it is sorted there, and which fit a width."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal

from msgspec import Struct

from procroute.protocol import Running
from procroute.terminal import printable
from procroute_tui.model import words
from procroute_tui.model.machine import Machine

Role = Literal["", "dim", "name", "route", "bad", "good"]
"""What a text means, for colours; it is never said by colour alone."""
Value = str | float | None
"""By what a process is sorted; None: it has nothing there, and comes last."""
Users = Callable[[int], str]
"""The name of a uid."""


class Facts:
    """What cells are made from."""

    def __init__(self, machine: Machine, users: Users) -> None:
        self.machine = machine
        self.users = users


class Column(Struct, frozen=True):
    """A column. weight: how soon it is dropped, the highest first; flexible: it takes what room is left.

    value: by what it is sorted; cell: the text and what it means. numeric: to the right, the largest first.
    """

    key: str
    title: str
    width: int
    weight: int
    value: Callable[[Facts, Running], Value]
    cell: Callable[[Facts, Running], tuple[str, Role]]
    numeric: bool = False
    right: bool = False
    flexible: int = 0
    help: str = ""


def _text(value: Value, role: Role = "") -> tuple[str, Role]:
    return (str(value), role) if value not in {None, ""} else (words.NONE, "dim")


def _route(facts: Facts, process: Running) -> Value:
    assignment = facts.machine.assignments.get(process.assignment)
    return printable(assignment.called) if assignment is not None else None


def _adapter(facts: Facts, process: Running) -> Value:
    assignment = facts.machine.assignments.get(process.assignment)
    return None if assignment is None else printable(assignment.adapter) or "main, unprotected"


def _user(facts: Facts, process: Running) -> str:
    return printable(facts.users(process.user))


def _of_first(facts: Facts, process: Running, what: str) -> Value:
    rate = facts.machine.rate_of(process.pid)
    return None if rate is None else float(getattr(rate, what))


def _counted(facts: Facts, process: Running, text: Callable[[float], str], what: str) -> tuple[str, Role]:
    """What is counted for a whole assignment, at its first process; the others refer to that one."""
    value = _of_first(facts, process, what)
    if value is not None:
        return text(float(value)), "bad" if what == "dropped" and value else ""
    machine = facts.machine
    other = process.assignment in machine.assignments and machine.leader(process.assignment) != process.pid
    return ("·" if other else words.NONE), "dim"


def _sockets(facts: Facts, process: Running) -> Value:
    machine = facts.machine
    if not process.assignment or machine.leader(process.assignment) != process.pid:
        return None
    counted = machine.sockets.get(process.assignment)
    return None if counted is None else float(counted.on_route + counted.elsewhere)


def _socket_cell(facts: Facts, process: Running) -> tuple[str, Role]:
    if _sockets(facts, process) is None:
        return _counted(facts, process, lambda _: words.NONE, "sent")
    counted = facts.machine.sockets[process.assignment]
    if not counted.elsewhere:
        return str(counted.on_route), ""
    return f"{counted.on_route}+{counted.elsewhere} old", "bad"


def _unit(_: Facts, process: Running) -> Value:
    return printable(process.unit) or None


def _command(_: Facts, process: Running) -> Value:
    return words.command_of(process) or None


COLUMNS: Final = (
    Column(
        "pid",
        "PID",
        7,
        0,
        lambda _, p: p.pid,
        lambda _, p: (str(p.pid), "dim"),
        right=True,
        help="the number of the process",
    ),
    Column(
        "name",
        "NAME",
        14,
        0,
        lambda _, p: printable(p.name).casefold(),
        lambda _, p: _text(printable(p.name), "name"),
        flexible=3,
        help="what it is called",
    ),
    Column("user", "USER", 9, 4, _user, lambda f, p: (_user(f, p), ""), help="whose it is"),
    Column(
        "unit",
        "UNIT",
        16,
        7,
        _unit,
        lambda f, p: _text(_unit(f, p), "dim"),
        flexible=2,
        help="the systemd unit that it is in",
    ),
    Column(
        "route",
        "ROUTE",
        11,
        0,
        _route,
        lambda f, p: _text(_route(f, p), "route"),
        flexible=1,
        help="the route that it is on; – for the machine's own way",
    ),
    Column(
        "adapter",
        "ADAPTER",
        9,
        6,
        _adapter,
        lambda f, p: _text(_adapter(f, p), "route"),
        help="the adapter that the route uses now",
    ),
    Column(
        "sockets",
        "SOCKETS",
        9,
        5,
        _sockets,
        _socket_cell,
        numeric=True,
        right=True,
        help="internet sockets on the route; `+2 old`: two more go on by the way that they were opened on",
    ),
    Column(
        "in",
        "IN/s",
        8,
        2,
        lambda f, p: _of_first(f, p, "received"),
        lambda f, p: _counted(f, p, words.rate, "received"),
        numeric=True,
        right=True,
        help="bytes that came in a second; of the whole assignment, at its first process",
    ),
    Column(
        "out",
        "OUT/s",
        8,
        2,
        lambda f, p: _of_first(f, p, "sent"),
        lambda f, p: _counted(f, p, words.rate, "sent"),
        numeric=True,
        right=True,
        help="bytes that went out a second",
    ),
    Column(
        "drops",
        "DROPS",
        6,
        8,
        lambda f, p: _of_first(f, p, "dropped"),
        lambda f, p: _counted(f, p, lambda n: f"{n:.0f}", "dropped"),
        numeric=True,
        right=True,
        help="packets that the guard has dropped: they would have left by another adapter",
    ),
    Column(
        "command",
        "COMMAND",
        24,
        9,
        _command,
        lambda f, p: _text(_command(f, p), "dim"),
        flexible=6,
        help="what it was started as; of others' processes only root sees it",
    ),
)
BY_KEY: Final = {column.key: column for column in COLUMNS}
ALWAYS: Final = frozenset({"pid", "name", "route"})
"""Those that are never left out."""
GAP: Final = 1
"""Cells between two columns."""
_INDENT: Final = 10


def layout(room: int, wanted: Iterable[str] = (), *, tree: bool = False) -> list[tuple[Column, int]]:
    """The columns that fit so many cells, each with its width. wanted: keys; none: all of them.

    tree: names are indented, and get more room.
    """
    keys = set(wanted) | ALWAYS if wanted else set(BY_KEY)
    shown = [column for column in COLUMNS if column.key in keys]
    while len(shown) > len(ALWAYS) and _needs(shown) > room:
        heaviest = max(column.weight for column in shown)
        shown = [column for column in shown if column.weight != heaviest or column.key in ALWAYS]
    widths = {column.key: column.width for column in shown}
    indent = min(_INDENT, max(room - _needs(shown), 0)) if tree else 0
    widths["name"] += indent
    shares = sum(column.flexible for column in shown)
    spare = max(room - _needs(shown) - indent, 0)
    given = 0
    for column in (c for c in shown if c.flexible):
        share = spare * column.flexible // shares
        widths[column.key] += share
        given += share
    if shares:  # what rounding left over
        widths["name"] += spare - given
    return [(column, widths[column.key]) for column in shown]


def _needs(columns: list[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)
