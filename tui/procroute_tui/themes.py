"""Two themes of our own beside Textual's: quiet, with one colour for routes and one for what is wrong."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme


def _scrollbars(ground: str, bar: str, grasped: str) -> dict[str, str]:
    """Textual's variables for bars that do not stand out until somebody grasps them."""
    grounds = ("scrollbar-background", "scrollbar-background-hover", "scrollbar-background-active")
    return {
        **dict.fromkeys((*grounds, "scrollbar-corner-color"), ground),
        "scrollbar": bar,
        "scrollbar-hover": grasped,
        "scrollbar-active": grasped,
    }


THEMES: Final = (
    Theme(
        name="procroute-dark",
        primary="#5f87d7",
        secondary="#5f87af",
        accent="#d7af5f",
        warning="#d7af5f",
        error="#e06c75",
        success="#7fb685",
        foreground="#d0d0d0",
        background="#15181c",
        surface="#1c2026",
        panel="#262b33",
        variables=_scrollbars("#1c2026", "#3d4654", "#5f87d7"),
    ),
    Theme(
        name="procroute-light",
        primary="#3465a4",
        secondary="#5f87af",
        accent="#96640a",
        warning="#96640a",
        error="#b3261e",
        success="#2f7d3b",
        foreground="#24292f",
        background="#fbfbf8",
        surface="#f1f1ec",
        panel="#e4e4dc",
        dark=False,
        variables=_scrollbars("#f1f1ec", "#c4c4ba", "#3465a4"),
    ),
)
