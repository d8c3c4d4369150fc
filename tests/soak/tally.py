"""What a course of the soak has done, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What was done, over many worlds. converged: seconds until the kernel was right, and of one look."""

    actions: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    converged: list[tuple[float, float]] = field(default_factory=list)
    packets: int = 0

    @property
    def steps(self) -> int:
        """How many actions there were."""
        return self.actions.total()
