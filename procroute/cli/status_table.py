"""The status as tables for people, and as JSON for programs (docs/json.md)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from procroute.cli import tables
from procroute.core.limits import WITHOUT_BPF
from procroute.core.overview import Way
from procroute.core.status import Process, RouteView, Status
from procroute.core.traffic import Flow
from procroute.protocol import RuleList
from procroute.terminal import printable
from procroute.user_names import spoken

VERSION = 1
_LISTED = 20
"""So many processes of an assignment are shown: there may be thousands."""


def as_json(status: Status, ruled: RuleList | None = None) -> str:
    """One object: {"version": 1, "routes": [...], "limits": [...]}. ruled: what the daemon has of rules."""
    plain = {
        "version": VERSION,
        "routes": [_plain(view) for view in status.routes],
        "under_other_numbers": status.under_other_numbers,
        "rules": None if ruled is None else _plain_rules(ruled),
        "limits": [{"id": limit.id, "text": limit.text} for limit in status.limits],
    }
    return json.dumps(plain, indent=2)


def _plain_rules(ruled: RuleList) -> dict[str, Any]:
    enabled = sum(rule.enabled for rule in ruled.rules)
    return {"number": len(ruled.rules), "enabled": enabled, "held_files": ruled.held, "notes": ruled.notes}


def _plain(view: RouteView) -> dict[str, Any]:
    live = view.live
    return {
        "name": live.route.name,
        "named": view.named or None,
        "adapter": view.adapter,
        "strict": live.route.strict,
        "on_down": live.route.down.value,
        "hold": live.route.hold,
        "existing": "reset" if live.route.reset else "keep",
        "inbound": live.route.inbound,
        "number": live.number,
        "mark": view.mark,
        "table": view.table,
        "in_use": view.in_use,
        "owners": [owner.uid for owner in live.owners],
        "state": view.state,
        "ways": {family.title.lower(): tables.plain_way(way) for family, way in view.ways.items()},
        "dns": {"servers": [str(s) for s in live.servers], "refused": live.no_lookups},
        "assignments": [
            {"name": a.name, "cgroup": a.cgroup, "processes": [_plain_process(p) for p in a.processes]}
            for a in view.assignments
        ],
        "out": {"packets": view.traffic.out.packets, "bytes": view.traffic.out.bytes},
        "in": {"packets": view.traffic.into.packets, "bytes": view.traffic.into.bytes},
        "dropped": dict(view.drops),
        "tunnels": list(view.tunnels),
        "marks": {"carried_by": view.live.marks.value, "lost": view.lost},
    }


def _plain_process(process: Process) -> dict[str, Any]:
    words = [_valid(word) for word in process.command]
    return {"pid": process.pid, "name": _valid(process.name), "user": process.user, "command": words}


def _valid(text: str) -> str:
    """Without bytes that are no UTF-8: JSON of these is refused by many readers."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def as_table(status: Status, columns: int, ruled: RuleList | None = None) -> str:
    """For people; colour never carries a meaning alone. columns: of the terminal that shall show it, or 0.

    ruled: what the daemon has of rules; None: none answers.
    """
    parts: list[Table | Text] = []
    if status.routes:
        parts += [_routes(status), Text()]
        if any(view.assignments for view in status.routes):
            parts += [_processes(status), Text()]
    else:
        parts.append(Text("nothing is routed\n"))
    if status.under_other_numbers:
        n = status.under_other_numbers
        said = (
            f"{n} {'route lives' if n == 1 else 'routes live'} under other numbers than the configured ones\n"
        )
        parts.append(Text(said, "red"))
    parts += [Text(f"{line}\n", style) for line, style in _rules(status, ruled)]
    parts += [Text("cannot be promised here:", "bold"), _limits(status)]
    return tables.page(*parts, columns=columns)


def _rules(status: Status, ruled: RuleList | None) -> Iterator[tuple[str, str]]:
    """Lines on route rules, with their colours; none where there are none."""
    if ruled is None:
        if any(limit.id == "holder" for limit in status.limits):
            said = "procrouted does not answer: programs with a rule start or do not, as its when_down says"
            yield said, "red"
        return
    if not ruled.rules:
        return
    off = sum(not rule.enabled for rule in ruled.rules)
    files = "1 file" if ruled.held == 1 else f"{ruled.held} files"
    rules = "1 rule" if len(ruled.rules) == 1 else f"{len(ruled.rules)} rules"
    yield (
        f"{rules}{f', {off} switched off' if off else ''}; starts of {files} are held until they are placed",
        "",
    )
    yield from ((printable(note), "red") for note in ruled.notes)


def _routes(status: Status) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("route", "gateway", "look-ups to", "out", "in", "dropped"):
        table.add_column(heading, overflow="fold")
    for view in status.routes:
        table.add_row(
            Text("\n").join(
                [
                    Text(printable(view.called)),
                    *_meant(view),
                    *_given(view),
                    Text(*_state(view)),
                    *_carries(view),
                    *_lost(view),
                    *_owners(view),
                ]
            ),
            Text("\n").join(_gateway(way) for way in view.ways.values()),
            _servers(view),
            _flow(view.traffic.out),
            _flow(view.traffic.into),
            Text("\n".join(f"{n} by {printable(by)}" for by, n in view.drops.items()), "red")
            if view.drops
            else "–",
        )
    return table


def _meant(view: RouteView) -> Iterator[Text]:
    if view.named:
        yield Text(printable(view.live.route.name), "dim")


def _given(view: RouteView) -> Iterator[Text]:
    if given := view.live.route.given:
        yield Text(printable(", ".join(given)), "dim")


def _state(view: RouteView) -> tuple[str, str]:
    if not view.in_use:
        return "left behind", "red"
    if view.live.by_main:
        return "by the machine's own way", "red"
    if view.state == "up":
        if view.live.route.others:
            return f"up, by {printable(view.adapter)}", "green"
        renamed = view.adapter != view.live.route.adapter
        return f"up, as {printable(view.adapter)}" if renamed else "up", "green"
    if view.state == "gone":
        return f"{printable(view.adapter)} is not there", "red"
    return f"{printable(view.adapter)} is {view.state}".replace("is no", "has no"), "red"


def _carries(view: RouteView) -> Iterator[Text]:
    if view.tunnels:
        yield Text(printable(f"under {', '.join(view.tunnels)}"))


def _lost(view: RouteView) -> Iterator[Text]:
    if view.lost:
        yield Text(f"{view.lost} had lost their mark", "red")


def _owners(view: RouteView) -> Iterator[Text]:
    if view.live.owners:
        named = ", ".join(printable(spoken(owner.uid)) for owner in view.live.owners[:_LISTED])
        more = len(view.live.owners) - _LISTED
        yield Text(f"sockets of {named}{f' and {more} more users' if more > 0 else ''}", "dim")


def _limits(status: Status) -> Table:
    grid = Table.grid(padding=(0, 1))
    apart = [limit for limit in status.limits if limit.id in WITHOUT_BPF]
    for limit in status.limits:
        if limit not in apart:
            grid.add_row(" –", printable(limit.text))
    if apart:
        grid.add_row(" –", "Without cgroup BPF:")
    for limit in apart:
        said = limit.text.removeprefix("Without cgroup BPF ").removeprefix("Without BPF ")
        grid.add_row("", f"· {printable(said)}")
    return grid


def _gateway(way: Way) -> Text:
    if way.missing:
        return Text(way.missing, "dim")
    if not way.answers:
        return Text(f"{way.gateway} does not answer", "red")
    return Text(str(way.gateway) if way.gateway else "none needed")


def _servers(view: RouteView) -> str:
    if view.live.no_lookups:
        return "refused"
    return "\n".join(map(str, view.live.servers)) or "the system's"


def _flow(flow: Flow) -> str:
    size = f"{flow.bytes} B" if flow.bytes < 1000 else decimal(flow.bytes)  # short: addresses need the room
    return f"{size}\n{flow.packets:,} pkt"


def _processes(status: Status) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("route", "assignment", "pid", "user", "command"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "pid" else "left")
    for view in status.routes:
        for assignment in view.assignments:
            first = (printable(view.called), printable(assignment.name))
            for n, process in enumerate(assignment.processes[:_LISTED]):
                words = printable(shlex.join(process.command)) or printable(process.name)
                named = ("", "") if n else first
                one_line = Text(
                    words, no_wrap=True, overflow="ellipsis"
                )  # a browser's have a thousand octets
                table.add_row(*named, str(process.pid or "–"), printable(process.user), one_line)
            more = len(assignment.processes) - _LISTED
            if more > 0:
                table.add_row("", "", "", "", f"and {more} more")
    return table
