"""Numbers, times and what happened, in a few words for a screen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from procroute import protocol
from procroute.terminal import printable

NONE: Final = "–"
"""What is not known, or does not apply."""
_STEP: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_BARS: Final = "▁▂▃▄▅▆▇█"


def size(number: float) -> str:
    """Bytes with three digits and SI units, at most seven characters: `812 B`, `3.2 kB`, `120 MB`."""
    for unit in _UNITS:
        if number < _STEP - 0.5 or unit == _UNITS[-1]:
            break
        number /= _STEP
    return f"{number:.1f} {unit}" if unit != "B" and number < 9.95 else f"{number:.0f} {unit}"


def rate(number: float | None) -> str:
    """Bytes a second; the heading says that it is a second."""
    return NONE if number is None else "0" if number < 0.5 else size(number)


def bars(numbers: list[float], width: int) -> str:
    """The last numbers as a line of bars, as high as the highest of them; nothing moved is a flat line."""
    shown = numbers[-width:]
    top = max(shown, default=0)
    line = "".join(_BARS[min(7, int(n / top * 7.999))] if top > 0 and n > 0 else _BARS[0] for n in shown)
    return line.rjust(width)


def ago(seconds: float) -> str:
    """How long something is since: `12 s`, `5 min`, `3 h`, `2 days`."""
    if seconds < 100:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} days"


def tag(assignment: protocol.Assignment) -> str:
    """Its id as people see and type it."""
    return f"%{assignment.id}"


def command_of(process: protocol.Running) -> str:
    """What a process was started as; empty where that is not for the asker."""
    return printable(shlex.join(process.command))


def changed(reply: protocol.Assigned | protocol.Released) -> Iterator[str]:
    """What became of a change: a line for each assignment, then sockets, look-ups and notes."""
    done = "is on" if isinstance(reply, protocol.Assigned) else "has left"
    for assignment in reply.assignments:
        place = ", in place" if assignment.in_place and isinstance(reply, protocol.Assigned) else ""
        yield f"{tag(assignment)} {done} {printable(assignment.called)}{place}: {_who(assignment)}"
    if not reply.assignments:
        yield "nothing was changed"
    moved = reply.moved
    counts = ((moved.follow, "follow"), (moved.reset, "reset"), (moved.remain, "go on as they are"))
    if told := ", ".join(f"{number} {what}" for number, what in counts if number):
        yield f"open sockets: {told}"
    for why, number in moved.left.items():
        yield f"left as they are: {number} {printable(why)}"
    if isinstance(reply, protocol.Assigned):
        yield f"look-ups: {printable(reply.dns)}"
    for note in reply.notes:
        yield printable(note)


def _who(assignment: protocol.Assignment) -> str:
    if not assignment.processes:
        return printable(assignment.command) or NONE
    first, rest = assignment.processes[0], len(assignment.processes) - 1
    name = f"{printable(first.name)} (pid {first.pid})" if first.name else f"pid {first.pid}"
    return f"{name} and {rest} more" if rest else name


def happened(event: protocol.Event) -> str:
    """An event in one line; empty for those that are no news by themselves."""
    if isinstance(event, protocol.Added):
        assignment = event.assignment
        return (
            f"+ {tag(assignment)} on {printable(assignment.called)} by {assignment.how}: {_who(assignment)}"
        )
    if isinstance(event, protocol.Removed):
        return f"- {tag(event.assignment)} on {printable(event.assignment.called)} {event.why}"
    if isinstance(event, protocol.Left):
        name = printable(event.process.name) or "a process"
        more = f" and {event.followers} more below it" if event.followers else ""
        end = ": ended" if event.ended else ""
        place = printable(event.cgroup)
        return (
            f"! {tag(event.assignment)} on {printable(event.assignment.called)}: {name} "
            f"(pid {event.process.pid}){more} left for {place}{end}"
        )
    if isinstance(event, protocol.Repaired):
        by = f", changed by {printable(event.who)}" if event.who else ""
        return f"! repaired in {event.ms:.0f} ms: {', '.join(map(printable, event.what))}{by}"
    if isinstance(event, protocol.Switched):
        return f"! {printable(event.why)}"
    return ""
