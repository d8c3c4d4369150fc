"""Events as lines, for people and as JSON (docs/json.md), each with the colour for a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from procroute import protocol
from procroute.cli import health_words
from procroute.cli.assignment_words import VERSION, plain, tag, who
from procroute.terminal import printable

_GREEN, _YELLOW, _RED, _DIM = "32", "33", "31", "2"


def in_words(what: protocol.Watching | protocol.Event) -> Iterator[tuple[str, str]]:
    """`14:03:07 + %3 on wan1 by assign: curl (pid 4711)`; the sign says what a colour says."""
    if isinstance(what, protocol.Watching):
        number = len(what.assignments)
        there = f"{number} assignment{'s' if number > 1 else ''}" if number else "nothing is assigned"
        yield f"{_clock(time.time())} watching: {there}; Ctrl-C ends it", _DIM
        for assignment in what.assignments:
            yield f"{_clock(time.time())} = {_about(assignment)}", ""
    elif isinstance(what, protocol.Added):
        yield f"{_clock(what.at)} + {_about(what.assignment)}", _GREEN
    elif isinstance(what, protocol.Removed):
        gone = what.assignment
        yield f"{_clock(what.at)} - {tag(gone)} on {printable(gone.called)} {what.why}", _DIM
    elif isinstance(what, protocol.Left):
        of = f"{tag(what.assignment)} on {printable(what.assignment.called)}"
        name = printable(what.process.name) or "a process"
        more = f" and {what.followers} more below it" if what.followers else ""
        end = ": ended" if what.ended else ""
        text = f"{name} (pid {what.process.pid}){more} left for the cgroup {printable(what.cgroup)}{end}"
        yield f"{_clock(what.at)} ! {of}: {text}", _RED
    elif isinstance(what, protocol.Repaired):
        by = f", changed by {printable(what.who)}" if what.who else ""
        things = ", ".join(map(printable, what.what))
        yield f"{_clock(what.at)} ! repaired in {what.ms:.0f} ms: {things}{by}", _YELLOW
    elif isinstance(what, protocol.Switched):
        yield f"{_clock(what.at)} ! {printable(what.why)}", _YELLOW if what.adapter else _RED
    elif isinstance(what, protocol.HealthChanged):
        why = f": {printable(what.health.reason)}" if what.health.reason else ""
        colour = {"up": _GREEN, "down": _RED}.get(what.health.state, _YELLOW)
        yield (
            f"{_clock(what.at)} ~ the health of {printable(what.adapter)} is {what.health.state}{why}",
            colour,
        )
    else:
        yield f"{_clock(what.at)} ? events were lost, since they were not read in time; anew:", _RED


def as_json(what: protocol.Watching | protocol.Event) -> Iterator[tuple[str, str]]:
    """One line: {"version": 1, "event": "added", "at": …, …}."""
    told: dict[str, Any] = {"version": VERSION}
    if isinstance(what, protocol.Watching):
        told |= {"event": "watching", "at": time.time(), "assignments": [plain(a) for a in what.assignments]}
    elif isinstance(what, protocol.Added):
        told |= {"event": "added", "at": what.at, "assignment": plain(what.assignment)}
    elif isinstance(what, protocol.Removed):
        told |= {"event": "removed", "at": what.at, "assignment": plain(what.assignment), "why": what.why}
    elif isinstance(what, protocol.Left):
        told |= {
            "event": "left",
            "at": what.at,
            "assignment": plain(what.assignment),
            "process": {"pid": what.process.pid, "name": what.process.name},
            "followers": what.followers,
            "cgroup": what.cgroup,
            "ended": what.ended,
        }
    elif isinstance(what, protocol.Repaired):
        told |= {"event": "repaired", "at": what.at, "what": what.what, "who": what.who, "ms": what.ms}
    elif isinstance(what, protocol.Switched):
        told |= {"event": "switched", "at": what.at}
        told |= {"route": what.route, "adapter": what.adapter or None, "why": what.why}
    elif isinstance(what, protocol.HealthChanged):
        told |= {
            "event": "health",
            "at": what.at,
            "adapter": what.adapter,
            "health": health_words.plain(what.health),
        }
    else:
        told |= {"event": "lost", "at": what.at}
    yield json.dumps(told), ""


def _about(assignment: protocol.Assignment) -> str:
    route = printable(assignment.called)
    return f"{tag(assignment)} on {route} by {assignment.how}: {who(assignment)}".rstrip(": ")


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
