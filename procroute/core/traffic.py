"""How much a route has carried."""

from __future__ import annotations

from msgspec import Struct


class Flow(Struct, frozen=True):
    """One direction. bytes: with IP headers."""

    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Flow) -> Flow:
        return Flow(self.packets + other.packets, self.bytes + other.bytes)


class Traffic(Struct, frozen=True):
    """Both directions, by whatever adapter but loopback."""

    out: Flow = Flow()
    into: Flow = Flow()

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.out + other.out, self.into + other.into)
