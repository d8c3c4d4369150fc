"""Assignments and what became of their sockets: in words, and as data for JSON (docs/json.md)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from procroute import protocol
from procroute.core.moving import OF_ONE
from procroute.terminal import printable

VERSION = 1
"""Of the JSON of assign, release, ps and watch."""
_SHOWN = 60
"""So much of a command is shown in a line of several things."""


def tag(assignment: protocol.Assignment) -> str:
    """Its id as people see and type it: told from a PID as kill(1) tells a job from one."""
    return f"%{assignment.id}"


def who(assignment: protocol.Assignment) -> str:
    """`curl (pid 4711) and 2 more`; of others' only the PIDs. Without processes the command, shortened."""
    if not assignment.processes:
        command = printable(assignment.command)
        return command if len(command) <= _SHOWN else f"{command[: _SHOWN - 1]}…"
    first, rest = assignment.processes[0], len(assignment.processes) - 1
    name = printable(first.name)
    shown = f"{name} (pid {first.pid})" if name else f"pid {first.pid}"
    return f"{shown} and {rest} more" if rest else shown


def command_of(process: protocol.Process) -> str:
    """What a process was started as; else its name; a dash where neither is for the asker."""
    return printable(shlex.join(process.command)) or printable(process.name) or "–"


def moved(result: protocol.Moved) -> Iterator[str]:
    """What became of open sockets: a line of numbers, and one for each reason to leave some."""
    told = [
        f"{number} {what}"
        for number, what in (
            (result.follow, "follow"),
            (result.reset, "were reset" if result.reset > 1 else "was reset"),
            (result.remain, "go on as they are" if result.remain > 1 else "goes on as it is"),
        )
        if number
    ]
    if told:
        yield f"open sockets: {', '.join(told)}"
    for why, number in result.left.items():
        said = why if number > 1 else OF_ONE.get(why, why)
        yield f"left as {'they are' if number > 1 else 'it is'}: {number} {printable(said)}"


def plain(assignment: protocol.Assignment) -> dict[str, Any]:
    """For JSON: every key, also where nothing is to be said."""
    counted = assignment.sockets
    return {
        "id": assignment.id,
        "route": assignment.route,
        "named": assignment.named or None,
        "adapter": assignment.adapter,
        "how": assignment.how,
        "owner": assignment.owner,
        "by": assignment.by,
        "cgroup": assignment.cgroup,
        "origin": assignment.origin,
        "in_place": assignment.in_place,
        "since": assignment.since,
        "command": assignment.command,
        "rule": assignment.rule,
        "processes": [
            {"pid": process.pid, "name": process.name, "command": process.command}
            for process in assignment.processes
        ],
        "sockets": None if counted is None else plain_sockets(counted),
    }


def plain_sockets(counted: protocol.Sockets) -> dict[str, int]:
    """For JSON."""
    return {"on_route": counted.on_route, "elsewhere": counted.elsewhere}


def plain_moved(result: protocol.Moved) -> dict[str, Any]:
    """For JSON."""
    return {
        "follow": result.follow,
        "remain": result.remain,
        "reset": result.reset,
        "left": result.left,
    }
