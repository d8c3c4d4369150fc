"""Lines for people with what programs want of them besides: how grave they are, and what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ERROR: Final = 3
WARNING: Final = 4
NOTICE: Final = 5
INFO: Final = 6
"""Levels, as syslog(3) has them."""


class Told(str):
    """A line. level: one of those above; fields: name → value, of what it is about."""

    __slots__ = ("fields", "level")
    level: int
    fields: Mapping[str, str]


def told(line: str, level: int = INFO, **fields: object) -> Told:
    """A line with its level and fields; None and empty ones are left out."""
    found = Told(line)
    found.level = level
    found.fields = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    return found


def level_of(line: str) -> int:
    """How grave a line is. A plain one tells of something that does not work."""
    return line.level if isinstance(line, Told) else WARNING


def fields_of(line: str) -> Mapping[str, str]:
    """What it is about."""
    return line.fields if isinstance(line, Told) else {}
