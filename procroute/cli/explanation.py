"""An explanation for people, and as JSON for programs (docs/json.md)."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from rich.text import Text

from procroute.cli import tables
from procroute.protocol import Explained, Way
from procroute.terminal import printable

VERSION = 1
_TITLES = {"ipv4": "IPv4", "ipv6": "IPv6"}
_COLOURS = {"leaves": "green", "local": "green", "unreachable": "red", "dropped": "red"}


def as_json(explained: Explained) -> str:
    """One object: {"version": 1, "subject": …, "ways": [...], "caveats": [...]}."""
    plain = {
        "version": VERSION,
        "subject": explained.subject,
        "route": explained.route or None,
        "mark": explained.mark,
        "findings": [{"id": f.id, "text": f.text} for f in explained.findings],
        "ways": [_plain(way) for way in explained.ways],
        "families": explained.families,
        "caveats": [{"id": c.id, "text": c.text} for c in explained.caveats],
    }
    return json.dumps(plain, indent=2)


def _plain(way: Way) -> dict[str, Any]:
    """For JSON: every key, also where nothing is to be said."""
    return {
        "family": way.family,
        "destination": way.destination,
        "bound": way.bound or None,
        "outcome": way.outcome,
        "adapter": way.adapter or None,
        "gateway": way.gateway or None,
        "source": way.source or None,
        "preference": way.preference,
        "table": way.table or None,
        "error": way.error or None,
    }


def as_text(explained: Explained, columns: int) -> str:
    """For people; colour never carries a meaning alone. columns: of the terminal that shall show it, or 0."""
    parts: list[Text] = [Text(printable(explained.subject), "bold")]
    parts += [_line(found.text, columns) for found in explained.findings]
    for family, lines in explained.families.items():
        way = next((w for w in explained.ways if w.family == family), None)
        parts += [Text(), Text.assemble((_TITLES.get(family, family), "bold"), " – ", _summary(way))]
        parts += [_line(line, columns) for line in lines]
    if explained.caveats:
        parts += [Text(), Text("it could still be otherwise:", "bold")]
        parts += [_line(f"– {caveat.text}", columns) for caveat in explained.caveats]
    return tables.page(*parts, columns=columns)


def _summary(way: Way | None) -> Text:
    """What becomes of a packet, in a few words."""
    if way is None:
        return Text("nothing is known")
    said = {
        "leaves": f"leaves by {way.adapter}, from {way.source}",
        "local": "stays on this machine",
        "unreachable": f"goes nowhere: {way.error}",
        "dropped": f"goes nowhere: the guard drops what would leave by {way.adapter}",
    }[way.outcome]
    return Text(printable(said), _COLOURS[way.outcome])


def _line(text: str, columns: int) -> Text:
    """Where it does not fit, what follows is further in: so it is seen where the next one begins."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    shown = f"  {printable(text)}"
    lines = textwrap.wrap(shown, columns, subsequent_indent="    ", **options) if columns else [shown]
    return Text("\n".join(lines))
