"""Who may send where, told by the destination: when somebody's way changes, he speaks to new addresses.

So a packet says whose it is and what was true when it was sent, and what was sent before a change is never
taken for a leak after it. Addresses: RFC 2544's 198.18.0.0/15, and RFC 3849's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from procroute.lab import TCP, UDP, Lab, Packet
from tests.netns.traffic import FAMILIES

Adapters = dict[int, frozenset[str]]
"""By family."""
_MANY = 5_000
ANY = frozenset({"wan1", "wan2", "vpn0", "lan0"})


@dataclass
class Phase:
    """A time in somebody's life. to: where he speaks to; name: what he asks name servers for; may: by which
    adapters; asks: the adapters by which his look-ups may leave."""

    whose: str
    to: dict[int, str]
    name: str
    may: Adapters
    asks: frozenset[str]

    def widen(self, adapters: Iterable[str]) -> None:
        """By these, too: its way is about to change."""
        more = frozenset(adapters)
        self.may = {family: by | more for family, by in self.may.items()}
        self.asks |= more


class Phases:
    """Everybody's, of one machine."""

    def __init__(self) -> None:
        self._by_destination: dict[str, Phase] = {}
        self._by_name: dict[str, Phase] = {}
        self._number = 0
        self._seen: dict[str, tuple[int, int]] = {}
        self.packets = 0

    def begin(self, whose: str, may: Adapters, asks: frozenset[str] = ANY) -> Phase:
        """The next one."""
        self._number += 1
        number = self._number
        to = {4: f"198.18.{number >> 8}.{number & 255}", 6: f"2001:db8:ffff::1:{number:x}"}
        phase = Phase(whose, to, f"p{number}.soak.test", may, asks)
        self._by_destination |= dict.fromkeys(to.values(), phase)
        self._by_name[phase.name] = phase
        return phase

    def astray(self, lab: Lab) -> list[str]:
        """What has come out where it must not since this was asked last; lines for people."""
        lab.settle()
        found: list[str] = []
        for adapter, uplink in lab.uplinks.items():
            packets, queries = uplink.packets(control=True), uplink.queries()
            before, asked = self._seen.get(adapter, (0, 0))
            self.packets += len(packets) - before
            found += [line for packet in packets[before:] for line in self._wrong(packet, adapter)]
            for query in queries[asked:]:
                phase = self._by_name.get(query.name)
                if phase is not None and adapter not in phase.asks:
                    found.append(f"{phase.whose}: a look-up by {adapter}, not {sorted(phase.asks)}: {query}")
            self._seen[adapter] = len(packets), len(queries)
            if len(packets) > _MANY:  # what comes in this very moment is not looked at
                uplink.clear()
                self._seen[adapter] = 0, 0
        return found

    def _wrong(self, packet: Packet, adapter: str) -> Iterable[str]:
        phase = self._by_destination.get(packet.destination)
        if phase is None or packet.protocol not in (TCP, UDP):
            return
        if packet.of_the_closed:  # the kernel's own, where a socket has gone already
            return
        assert packet.family in FAMILIES
        if adapter not in phase.may[packet.family]:
            yield f"{phase.whose}: by {adapter}, not {sorted(phase.may[packet.family])}: {packet}"
