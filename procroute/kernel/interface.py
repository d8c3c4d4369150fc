"""What the engine needs of a kernel: the real one (linux.py) and the fake one (fake.py) both give it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from procroute.core.answers import Neighbour
from procroute.core.door import Door
from procroute.core.machine import Machine, Observed
from procroute.core.plan import Step
from procroute.identity import Identity
from procroute.model import Entry, IPAddress


class Kernel(Protocol):
    """Look at everything, change some of it.

    heard_failing: neighbours (ifindex, address) that were said to have failed and have not answered since.
    """

    identity: Identity
    heard_failing: set[Neighbour]

    def observe(self, machine: Machine | None = None, doors: Mapping[int, Door] | None = None) -> Observed:
        """What is there now. machine: what is known of it already; then only ours is looked at.

        doors: those of routes, where they were looked at under the same lock and not touched since.
        """
        ...

    def tell(
        self,
        *,
        ailing: frozenset[int] | None = None,
        steady: frozenset[tuple[int, float]] | None = None,
        given: Mapping[str, tuple[IPAddress, ...]] | None = None,
    ) -> None:
        """Have further looks at the machine say so (Machine.ailing, .steady, .given); None: as it was."""
        ...

    def entries_of(self, *numbers: int) -> Iterator[Entry]:
        """What stands in these tables, whoever put it there."""
        ...

    def carried(self) -> tuple[frozenset[int], frozenset[int]]:
        """The numbers of routes that sockets carry, and those that only closed connections do (TIME_WAIT)."""
        ...

    def ask_again(self, gateways: Collection[Neighbour]) -> None:
        """Have these gateways resolved once more."""
        ...

    def apply(self, steps: Sequence[Step]) -> None:
        """Do steps in order. What is there, or gone, already is no error.

        Raises ProcrouteError when the kernel refuses one: those of other kinds behind it are not done.
        """
        ...
