"""Text that is broken into lines."""

from __future__ import annotations

import textwrap

_LEAST = 20
"""Cells that a line has at least, however narrow the screen is."""


def hanging(label: str, text: str, room: int, label_style: str, style: str) -> list[tuple[str, str]]:
    """A label and a text beside it, whose lines all begin where the first does: parts with their styles.

    label: with the space after it. room: cells for both.
    """
    lines = textwrap.wrap(text, max(room - len(label), _LEAST)) or [""]
    return [(label, label_style), (f"\n{' ' * len(label)}".join(lines), style)]
