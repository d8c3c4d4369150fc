"""Titled lines as text."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content

from procroute_tui.model.details import Section
from procroute_tui.widgets.adapters import STYLES
from procroute_tui.widgets.lines import hanging

_LABEL = 9


def drawn(sections: Iterable[Section], room: int, labels: int = _LABEL) -> Content:
    """All of them, in lines of so many cells. labels: cells for these."""
    return Content("\n").join(_drawn(section, room, labels) for section in sections)


def _drawn(section: Section, room: int, labels: int) -> Content:
    parts: list[tuple[str, str]] = [(section.title, "bold $accent")]
    for label, text, role in section.lines:
        shown = label[: labels - 1].ljust(labels)
        parts += [("\n", ""), *hanging(shown, text, room, STYLES["dim"], STYLES[role])]
    return Content.assemble(*parts, ("\n", ""))
