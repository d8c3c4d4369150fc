"""Health checks of adapters, as the configuration asks for them: frozen types that every layer speaks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from msgspec import Struct

from procroute.model import Family, IPAddress

Kind = Literal["ping", "tcp", "dns", "http"]
State = Literal["unknown", "up", "down"]
"""What checks say of themselves, and all together of an adapter."""
Need = Literal["any", "all"]
"""Of an adapter's checks: one that is up is enough, or all must be."""
MOST: Final = 256
"""So many checks there may be at all."""


class Pace(Struct, frozen=True, cache_hash=True):
    """When a check is made, and what its results count. interval: seconds from one start to the next.

    timeout: seconds until no answer is a failure. up, down: so many results in a row until it is. jitter: the
    part of the interval by which a check may be early, so that many do not come at once.
    """

    interval: float = 5.0
    timeout: float = 2.0
    up: int = 2
    down: int = 3
    jitter: float = 0.2


class Check(Struct, frozen=True, cache_hash=True):
    """What is asked, and of whom. address: None: the adapter's gateway, of each family that has one.

    name: that a name server is asked for, or the host of a URL. path: of a URL, with its query. tls: it is
    https. statuses: of HTTP, those that are fine; none: 200 to 399.
    """

    kind: Kind
    address: IPAddress | None = None
    port: int = 0
    name: str = ""
    path: str = ""
    tls: bool = False
    statuses: tuple[int, ...] = ()
    pace: Pace = Pace()

    @property
    def families(self) -> tuple[Family, ...]:
        """Of the address; both for the gateways."""
        return tuple(Family) if self.address is None else (Family.of(self.address),)

    def words(self, family: Family) -> str:
        """`ping 192.0.2.1`; without a URL's query, which may be secret."""
        whom = f"the {family.title} gateway" if self.address is None else str(self.address)
        if self.kind == "http":
            scheme = "https" if self.tls else "http"
            return f"{scheme} {self.name}{self.path.partition('?')[0]} at {whom}".replace("  ", " ")
        if self.kind == "tcp":
            return f"tcp {f'[{whom}]' if ':' in whom else whom}:{self.port}"
        return f"dns {self.name} at {whom}" if self.kind == "dns" else f"ping {whom}"


class Checked(Struct, frozen=True):
    """What is asked of one adapter. gateway4, gateway6: to go by, where the machine knows none.

    dns: the name servers that routes by it ask, whatever others keep; none: those that others keep.
    """

    checks: tuple[Check, ...] = ()
    need: Need = "any"
    gateway4: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    dns: tuple[IPAddress, ...] = ()
