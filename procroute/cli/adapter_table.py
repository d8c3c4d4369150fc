"""Adapters as a table for people, and as JSON for programs (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from procroute.cli import tables
from procroute.core.overview import AdapterView, Way
from procroute.model import Family

VERSION = 1
_PIPE = 200
"""So many columns that nothing wraps."""


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
        "ways": {family.title.lower(): _plain_way(way) for family, way in view.ways.items()},
        "dns": {"servers": [str(s) for s in view.servers.addresses], "learnt": view.servers.learnt},
        "routes": list(view.routes),
    }


def _plain_way(way: Way) -> dict[str, Any]:
    if way.missing:
        return {"usable": False, "missing": way.missing}
    gateway = None if way.gateway is None else str(way.gateway)
    return {"usable": True, "gateway": gateway, "learnt": way.learnt, "answers": way.answers}


def as_table(views: Sequence[AdapterView], columns: int) -> str:
    """For people; colour never carries a meaning alone. columns: of the terminal that shall show it, or 0."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in (
        "adapter",
        "type",
        "state",
        "address",
        "gateway",
        "learnt from",
        "name servers",
        "routes",
    ):
        table.add_column(heading, overflow="fold")
    for view in views:
        families = list(view.ways)
        table.add_row(
            "\n".join([view.adapter.name, *view.adapter.altnames]),
            view.adapter.kind,
            Text(view.state, "green" if view.state == "up" else "red"),
            Text("\n").join(_addresses(view, family) for family in families),
            Text("\n").join(_gateway(view.ways[family], view, family) for family in families),
            Text("\n").join(Text(view.ways[f].learnt, "dim") for f in families),
            "\n".join(
                [*map(str, view.servers.addresses), *([view.servers.learnt] if view.servers.learnt else [])]
            ),
            "\n".join(view.routes),
        )
    text = tables.drawn(table, columns=columns, piped=_PIPE)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


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
