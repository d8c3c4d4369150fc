"""What the kernel is asked about one packet, and what it answers: as `ip route get` (ip-route(8)) does."""

from __future__ import annotations

from msgspec import Struct

from procroute.model import Family, IPAddress


class Question(Struct, frozen=True):
    """A packet that somebody would send. source None: the kernel chooses one.

    mark: of its socket; uid: whose socket it is; ifindex: the adapter that it is tied to, 0: to none.
    """

    destination: IPAddress
    source: IPAddress | None = None
    mark: int = 0
    uid: int = 0
    ifindex: int = 0

    @property
    def family(self) -> Family:
        """Of its destination."""
        return Family.of(self.destination)


class Reply(Struct, frozen=True):
    """Where it would go. error: the errno with which it is refused, 0: it is not.

    kind: of the entry that decided (rtnetlink(7), rtm_type: unicast, local …); table: where that stands.
    """

    error: int = 0
    kind: str = ""
    ifindex: int = 0
    gateway: IPAddress | None = None
    source: IPAddress | None = None
    table: int = 0
