"""What routes and adapters have carried, as the kernel counts it; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from procroute.core.ruleset import Counter
from procroute.core.traffic import Flow, Traffic
from procroute.errors import ProcrouteError
from procroute.kernel import in_place, nft, programs, records
from procroute.kernel.adapter_counts import adapter_counts
from procroute.kernel.linux import Linux
from procroute.model import Marks
from procroute.protocol import Carried

Counters = Mapping[str, Counter]
"""Of our nft table, by their names."""
_LOOKS = 10


def by_adapters(linux: Linux) -> list[Carried]:
    """Bytes by each adapter but loopback. Raises OSError."""
    for _ in range(_LOOKS - 1):
        try:
            return _by_adapters(linux)
        except InterruptedError:  # one came or went meanwhile
            continue
    return _by_adapters(linux)


def by_routes(linux: Linux) -> list[Carried]:
    """Bytes by each route, and packets that its guard dropped. Raises OSError, and ProcrouteError
    bpf-refused."""
    targets = [*_targets(linux)]
    by_packets = any(t.live.marks is Marks.PACKETS for t in targets)
    counters = nft.counters() if by_packets else {}
    found: dict[str, tuple[Traffic, int]] = {}
    for target in targets:
        name = target.live.route.name
        before, dropped = found.get(name, (Traffic(), 0))
        traffic, drops = carried(target, counters)
        found[name] = before + traffic, dropped + sum(drops.values())
    return [
        Carried(name=name, received=traffic.into.bytes, sent=traffic.out.bytes, dropped=dropped)
        for name, (traffic, dropped) in found.items()
    ]


def carried(target: records.Target, counters: Counters) -> tuple[Traffic, dict[int, int]]:
    """By one target, and the packets that its guard dropped, by ifindex; nothing where it has just gone.

    counters: where nft counts for a route, all of its targets are counted with this one. Raises
    ProcrouteError.
    """
    if target.live.marks is Marks.PACKETS:
        return _by_packets(target.live.number, counters)
    place = str(target.path)
    try:
        return programs.traffic(place), programs.drops(place)
    except ProcrouteError:
        if target.path.exists():
            raise
        return Traffic(), {}


def _by_adapters(linux: Linux) -> list[Carried]:
    counts = adapter_counts(linux.netlink)
    return [Carried(name=name, received=into, sent=out) for name, (into, out) in counts.items()]


def _targets(linux: Linux) -> Iterator[records.Target]:
    """Of our routes, each route's own first; of one that nft counts for that one alone."""
    own = [t for t in records.targets(linux.mount, linux.namespace) if t.identity == linux.identity]
    yield from own
    routes = {t.live.number: t.live.route for t in own if t.live.marks is not Marks.PACKETS}
    further = (
        *records.users_targets(linux.mount, linux.namespace),
        *in_place.targets(linux.mount, linux.namespace),
    )
    for target in further:
        if target.identity == linux.identity and routes.get(target.live.number) == target.live.route:
            yield target


def _by_packets(number: int, counters: Counters) -> tuple[Traffic, dict[int, int]]:
    out, into = (counters.get(f"{way}_{number}", Counter()) for way in ("out", "in"))
    drop = f"drop_{number}_"
    drops = {int(name.removeprefix(drop)): c.packets for name, c in counters.items() if name.startswith(drop)}
    return (
        Traffic(Flow(out.packets, out.bytes), Flow(into.packets, into.bytes)),
        {ifindex: packets for ifindex, packets in drops.items() if packets},
    )
