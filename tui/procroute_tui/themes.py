"""Two themes of our own beside Textual's: quiet, with one colour for routes and one for what is wrong."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

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
        variables={"footer-key-foreground": "#d7af5f", "footer-background": "#1c2026"},
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
        variables={"footer-key-foreground": "#96640a", "footer-background": "#f1f1ec"},
    ),
)
