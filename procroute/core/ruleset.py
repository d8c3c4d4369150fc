"""What our nft table is to do, as data; core/nft_text.py says it in nft's words."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from procroute.core.door import Door
from procroute.model import Family, IPNetwork


class Restore(Struct, frozen=True):
    """Arriving packets get the mark of their socket: on which adapters, and which marks.

    Where the reverse path is checked with the packet's mark.
    """

    adapters: frozenset[str]
    marks: frozenset[int]


class Steered(Struct, frozen=True):
    """A route without BPF: nft marks its packets, guards its door, sends its look-ups where they belong.

    number, mark: the route's, without the bound bit. others: the ifindexes of adapters that are not the
    route's, for the count of what was dropped. confined: the families that have no default now -> the
    destinations that they still reach.
    """

    number: int
    mark: int
    strict: bool
    door: Door
    others: tuple[int, ...] = ()
    confined: Mapping[Family, frozenset[IPNetwork]] = {}


class Ruleset(Struct, frozen=True):
    """What the whole table does.

    mask: all bits of ours in a mark. belted: number -> mark of the routes whose packets are marked where
    they have lost the mark of their socket. steered: the routes without BPF. restore: None where no reverse
    path is checked.
    """

    mask: int
    belted: Mapping[int, int] = {}
    steered: tuple[Steered, ...] = ()
    restore: Restore | None = None

    def __hash__(self) -> int:
        return hash((self.mask, self.numbers))

    @property
    def bound(self) -> int:
        """The bit that says: answer as a socket does that is tied to an address (identity.py)."""
        return self.mask & -self.mask

    @property
    def number_mask(self) -> int:
        """The bits that carry a route's number."""
        return self.mask & ~self.bound

    @property
    def numbers(self) -> frozenset[int]:
        """The routes whose targets are in the table."""
        return frozenset(self.belted) | {s.number for s in self.steered}


class Counter(Struct, frozen=True):
    """What a counter of the table stands at."""

    packets: int = 0
    bytes: int = 0


class Place(Struct, frozen=True):
    """A cgroup as nft names it: its path below /sys/fs/cgroup, and its depth below the root of the tree."""

    path: str
    level: int
