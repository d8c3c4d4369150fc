"""What may reach a terminal. Imports nothing: all that shows names needs it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without anything that could steer a terminal: names of processes are theirs to choose."""
    return "".join(c if c.isprintable() else "?" for c in text)
