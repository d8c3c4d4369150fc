"""Adapters as a table for people, and as JSON for programs (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from procroute.cli import health_words, tables
from procroute.core.overview import AdapterView, Servers, Way
from procroute.model import Family, IPAddress
from procroute.terminal import printable

VERSION = 1


def as_json(views: Sequence[AdapterView]) -> str:
    """One object: {"version": 1, "adapters": [...]}."""
    return json.dumps({"version": VERSION, "adapters": [_plain(view) for view in views]}, indent=2)


def _plain(view: AdapterView) -> dict[str, Any]:
    adapter = view.adapter
    return {
        "name": adapter.name,
        "altnames": list(adapter.altnames),
        "ifindex": adapter.ifindex,
        "type": adapter.kind,
        "state": view.state,
        "addresses": [{"address": str(a.interface), "usable": a.usable} for a in adapter.addresses],
        "ways": {family.title.lower(): tables.plain_way(way) for family, way in view.ways.items()},
        "dns": _plain_servers(view.asked)
        | {"sources": [_plain_servers(servers) for servers in view.servers]},
        "routes": list(view.routes),
        "health": None if view.health is None else health_words.plain(view.health),
        "over": view.over or None,
    }


def _plain_servers(servers: Servers) -> dict[str, Any]:
    return {"servers": [str(server) for server in servers.addresses], "learnt": servers.learnt}


def as_table(views: Sequence[AdapterView], columns: int) -> str:
    """For people; colour never carries a meaning alone. columns: of the terminal that shall show it, or 0.

    Where a table would be too wide for the terminal, it is a list.
    """
    shown: RenderableType = _table(views)
    if columns and not tables.fits(shown, columns):
        shown = _list(views)
    return tables.page(shown, columns=columns)


def _table(views: Sequence[AdapterView]) -> Table:
    """A row for each."""
    checked = ["health"] if any(view.health for view in views) else []
    table = Table(box=box.SIMPLE_HEAD)
    for heading in (
        *("adapter", "type", "state", "address", "gateway", "learnt from", "name servers", "routes"),
        *checked,
    ):
        table.add_column(heading, overflow="fold")
    for view in views:
        families = list(view.ways)
        table.add_row(
            "\n".join(map(printable, [view.adapter.name, *view.adapter.altnames])),
            view.adapter.kind,
            _state(view),
            Text("\n").join(_addresses(view, family) for family in families),
            Text("\n").join(_gateway(view.ways[family], view, family) for family in families),
            Text("\n").join(Text(view.ways[f].learnt, "dim") for f in families),
            Text("\n").join(_servers(view)),
            "\n".join(map(printable, view.routes)),
            *(Text("\n").join(health_words.lines(view.health)) for _ in checked),
        )
    return table


def _list(views: Sequence[AdapterView]) -> Table:
    """A few lines for each; what there is nothing to say of is left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for view in views:
        kind = f"{view.adapter.kind}, " if view.adapter.kind else ""
        grid.add_row(Text(printable(view.adapter.name), "bold"), Text.assemble(kind, _state(view)))
        for name, lines in _facts(view):
            if lines:
                grid.add_row(f"  {name}", Text("\n").join(lines))
        grid.add_row()
    return grid


def _facts(view: AdapterView) -> Iterator[tuple[str, list[Text]]]:
    ways = view.ways.items()
    yield "also called", [Text(printable(name)) for name in view.adapter.altnames]
    yield "address", [_addresses(view, family) for family, _ in ways if view.adapter.usable(family)]
    yield (
        "gateway",
        [
            Text.assemble(_gateway(way, view, family), (f" ({way.learnt})" if way.learnt else "", "dim"))
            for family, way in ways
            if view.adapter.usable(family)
        ],
    )
    yield "name servers", list(_servers(view))
    yield "routes", [Text(printable(name)) for name in view.routes]
    yield "health", health_words.lines(view.health)


def _servers(view: AdapterView) -> Iterator[Text]:
    """Each server once, then who keeps it: those that are asked first."""
    shown: set[IPAddress] = set()
    for servers in view.servers:
        new = [server for server in servers.addresses if server not in shown]
        shown.update(new)
        yield from (Text(str(server)) for server in new)
        if new:
            yield Text(f"({servers.learnt}{'' if servers is view.asked else ', not asked'})", "dim")


def _state(view: AdapterView) -> Text:
    over = f"\nover {printable(view.over)}" if view.over else ""
    return Text.assemble((view.state, "green" if view.state == "up" else "red"), over)


def _addresses(view: AdapterView, family: Family) -> Text:
    found = [str(ip) for ip in view.adapter.usable(family)]
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    return Text(found[0] + more if found else "–")


def _gateway(way: Way, view: AdapterView, family: Family) -> Text:
    if way.missing:
        return Text("–" if not view.adapter.usable(family) else way.missing, "dim")
    if not way.answers:
        return Text(f"{way.gateway} does not answer", "red")
    return Text(str(way.gateway) if way.gateway else "none needed")
