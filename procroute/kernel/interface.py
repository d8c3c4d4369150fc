"""What the engine needs of a kernel: the real one (linux.py) and the fake one (fake.py) both give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from procroute.core.machine import Machine, Observed
from procroute.core.plan import Step


class Kernel(Protocol):
    """Look at everything, change some of it."""

    def observe(self, machine: Machine | None = None) -> Observed:
        """What is there now. machine: what is known of it already; then only ours is looked at."""
        ...

    def apply(self, steps: Sequence[Step]) -> None:
        """Do steps in order. What is there, or gone, already is no error.

        Raises ProcrouteError when the kernel refuses one: those of other kinds behind it are not done.
        """
        ...
