"""All that is known of one process, as titled lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from procroute import protocol
from procroute.terminal import printable
from procroute_tui.model import words
from procroute_tui.model.columns import Role, Users
from procroute_tui.model.machine import Machine

Line = tuple[str, str, Role]
"""A label, which may be empty, a text, and what it means."""
Clock = Callable[[float], str]
"""A time of the day, from seconds of the Epoch."""


class Section(Struct, frozen=True):
    """Lines below a title."""

    title: str
    lines: list[Line]


class Asked(Struct):
    """What was asked about one process, and what came. Each is None until it has come.

    route: the assignment that the explanation is for.
    """

    pid: int
    inspected: protocol.Inspected | None = None
    explained: protocol.Explained | None = None
    route: int = 0
    refused: str = ""


def sections(machine: Machine, users: Users, asked: Asked, now: float, clock: Clock) -> Iterator[Section]:
    """First its route, last what it is. now: seconds of the Epoch."""
    process = machine.processes.get(asked.pid)
    if process is None:
        yield Section("gone", [("", f"the process {asked.pid} has ended", "dim")])
        return
    name = printable(process.name) or words.NONE
    command = words.command_of(process) or "not for you to see"
    route = _route(machine, users, process, now)
    yield Section(f"{name} · {process.pid}", [("command", command, ""), *route])
    if asked.refused:
        yield Section("not told", [("", printable(asked.refused), "bad")])
    if asked.inspected is not None:
        found = asked.inspected.sockets
        title = f"sockets ({len(found)})"
        yield Section(title, list(map(_socket, found)) or [("", "no internet socket", "dim")])
    if happenings := machine.recent(process.pid):
        yield Section("happened", [(clock(h.at), h.text, "") for h in happenings[:8]])
    if asked.explained is not None:
        yield Section("how its packets go", list(_explained(asked.explained)))
    yield Section("process", list(_is(process, users, asked)))


def _is(process: protocol.Running, users: Users, asked: Asked) -> Iterator[Line]:
    if asked.inspected is not None and asked.inspected.executable:
        yield "runs", printable(asked.inspected.executable), ""
    yield "user", f"{printable(users(process.user))} ({process.user})", ""
    yield "unit", printable(process.unit) or words.NONE, ""
    yield "cgroup", printable(process.cgroup), ""


def route_lines(machine: Machine, users: Users, pid: int) -> Iterator[Line]:
    """The route of a process and who put it there."""
    assignment = machine.assignment_of(pid)
    if assignment is None:
        yield "", "it goes the machine's own way", "dim"
        return
    yield (
        "",
        f"{printable(assignment.called)}, by {printable(assignment.adapter) or 'main, unprotected'}",
        "route",
    )
    if assignment.rule:
        yield "", f"put there by {printable(assignment.rule)}", ""
    else:
        who = printable(users(assignment.by))
        yield "", f"put there by {who} ({assignment.how}): there it stays whatever rules say", ""


def _route(machine: Machine, users: Users, process: protocol.Running, now: float) -> Iterator[Line]:
    assignment = machine.assignments.get(process.assignment)
    if assignment is None:
        yield "route", "none: it goes the machine's own way", "dim"
        return
    yield "route", f"{printable(assignment.called)}, by {printable(assignment.adapter)}", "route"
    how = {"embedded": "run, with an engine of its own", "unit": "started in its slice"}
    since = f", {words.ago(now - assignment.since)} ago" if assignment.since else ""
    by = f"{how.get(assignment.how, assignment.how)}, by {printable(users(assignment.by))}{since}"
    yield words.tag(assignment), by + (", in place" if assignment.in_place else ""), ""
    if assignment.rule:
        yield "rule", printable(assignment.rule), ""
        yield "", "w tells why this one", "dim"
    rate = machine.rates.assignments.get(assignment.id)
    if rate is not None:
        yield "carries", f"in {words.rate(rate.received)}/s, out {words.rate(rate.sent)}/s", ""
        if rate.dropped:
            yield "dropped", f"{rate.dropped} packets, by the guard", "bad"
    route = machine.rates.routes.get(assignment.route)
    if route is not None and route.dropped:
        yield "dropped", f"{route.dropped} packets of this route, by the guard", "bad"
    members = len(machine.members.get(assignment.id, ()))
    if members > 1:
        yield "with", f"{members - 1} more processes", ""


def _socket(socket: protocol.Socket) -> Line:
    far = f" → {socket.remote}" if socket.remote else ""
    adapter = f" by {socket.adapter}" if socket.adapter else ""
    old = " (not on the route: older than it)" if socket.on_route is False else ""
    state = f" {socket.state}" if socket.state else ""
    return socket.kind, printable(f"{socket.local}{far}{state}{adapter}{old}"), "bad" if old else ""


def _explained(explained: protocol.Explained) -> Iterator[Line]:
    for finding in explained.findings:
        yield "", printable(finding.text), ""
    for family, lines in explained.families.items():
        title = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(family, printable(family))
        for line in lines:
            yield title, printable(line), ""
            title = ""
    for caveat in explained.caveats:
        yield "but", printable(caveat.text), "bad"
