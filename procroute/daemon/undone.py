"""What could not be done: lines for people, and whether it may succeed without further news."""

from __future__ import annotations

from typing import Final

from procroute.errors import ProcrouteError
from procroute.kernel.refusal import may_pass

_PASSING: Final = frozenset({"kernel-refused", "system", "unstable"})
"""Codes of refusals without an errno that may pass by themselves; others wait for who changes something."""


class Undone:
    """lines: of all that was added. hopeful: whether to try some of it again after a pause."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.hopeful = False

    def add(self, place: str, why: ProcrouteError | OSError) -> None:
        """Something at this place of the configuration, or of this name."""
        self.lines.append(f"{place}: {why}")
        unknown = isinstance(why, ProcrouteError) and why.__cause__ is None and why.code in _PASSING
        self.hopeful |= unknown or may_pass(why)
