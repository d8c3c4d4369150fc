"""What `assign` and `release` did: in words for people, and as JSON for programs (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from procroute import protocol
from procroute.cli import output
from procroute.cli.assignment_words import VERSION, moved, plain, plain_moved, tag, who
from procroute.terminal import printable


def as_json(reply: protocol.Assigned | protocol.Released) -> str:
    """One object: {"version": 1, "assignments": [...], "moved": {...}, …}."""
    told: dict[str, Any] = {
        "version": VERSION,
        "assignments": [plain(a) for a in reply.assignments],
        "moved": plain_moved(reply.moved),
        "notes": reply.notes,
    }
    if isinstance(reply, protocol.Assigned):
        told["dns"] = reply.dns
    return json.dumps(told, indent=2)


def in_words(reply: protocol.Assigned | protocol.Released, pids: Collection[int] = ()) -> Iterator[str]:
    """A line for each assignment, then what became of sockets and look-ups. pids: by which it was asked."""
    assigned = isinstance(reply, protocol.Assigned)
    for assignment in reply.assignments:
        route = printable(assignment.called)
        what = f"{'is on' if assigned else 'has left'} {route}"
        what += ", in place" if assignment.in_place and assigned else ""
        yield f"{tag(assignment)}{_named(assignment, pids)} {what}: {who(assignment)}".rstrip(": ")
    if not reply.assignments:
        yield "nothing was changed"
    yield from (f"  {line}" for line in moved(reply.moved))
    if isinstance(reply, protocol.Assigned):
        yield f"  look-ups: {printable(reply.dns)}"


def _named(assignment: protocol.Assignment, pids: Collection[int]) -> str:
    """Which process it was named by: not that one alone is let go, and the first of them is named anyway."""
    found = [process.pid for process in assignment.processes[1:] if process.pid in pids]
    return f", which pid {found[0]} is in," if found else ""


def say(
    reply: protocol.Assigned | protocol.Released, *, for_programs: bool, pids: Collection[int] = ()
) -> None:
    """Print a reply; for people with its notes, which are beside the answer. pids: as of in_words."""
    if for_programs:
        output.answer(as_json(reply))
        return
    output.answer("\n".join(in_words(reply, pids)))
    for note in reply.notes:
        output.tell(note)
