"""What nft does for a route without BPF, in nft's words; see core/nft_text.py for the whole table.

main has chosen a source address by then, so a packet that is sent another way needs the address of its new
adapter, and conntrack to take it back. Conntrack's mark carries the route, too: of what a command began, and,
with the bound bit, of what strangers began with one of its servers. Those are answered as a socket is that is
tied to an address: by the adapter that they came in on.

Datagrams of a route are in a zone of their own: two commands may send, one after the other, from one port of
one address to one server, and conntrack would take them for one conversation. A TCP connection begins anew
with its SYN, and has no zone: so what has no socket any more is found, the last acknowledgement or a reset.

What becomes of look-ups is in core/steering_lookups.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from procroute.core import steering_lookups
from procroute.core.lan_ranges import ranges
from procroute.core.nft_blocks import HEADERS, Block, addresses, among, chain, either, mapping, settled
from procroute.core.ruleset import Ruleset, Steered
from procroute.identity import ZONES
from procroute.model import Family, IPAddress, IPNetwork

_LOOPBACK = 1
_OF_LINK = {4: ("224.0.0.0/4", "169.254.0.0/16", "255.255.255.255"), 6: ("ff00::/8", "fe80::/10")}
_NONE = {4: "0.0.0.0", 6: "::"}
_SOURCE_ROUTES = ("ip option lsrr exists", "ip option ssrr exists", "exthdr rt exists")


def counters(route: Steered) -> list[str]:
    """The names of a route's counters: out_N, in_N, drop_N_IFINDEX."""
    return [f"out_{route.number}", f"in_{route.number}", *_drops(route).values()]


def bound(ruleset: Ruleset, route: Steered) -> int:
    """Its mark with the bit that says: answer as a socket does that is tied to an address."""
    return route.mark | ruleset.bound


def before_the_belt(ruleset: Ruleset) -> Iterable[str]:
    """What stays on the machine; what goes on as its connection does: a SYN-ACK, and what the kernel says for
    a socket that is gone, have none to be found by."""
    if ruleset.steered:
        yield f"oif {_LOOPBACK} th dport != 53 accept"
    for route in ruleset.steered:
        of_connections = (
            ("tcp flags & syn == 0x0 ct direction original", route.mark),
            ("ct direction reply", bound(ruleset, route)),
        )
        for which, mark in of_connections:
            yield (
                f"{which} ct mark & {ruleset.mask:#x} == {mark:#x} "
                f"{settled('meta mark', ruleset.mask, mark)} accept"
            )


def restored(ruleset: Ruleset) -> Iterable[str]:
    """Arriving packets of what a command began get the route's mark, for a reverse path check."""
    for route in ruleset.steered:
        yield (
            f"ct direction reply ct mark & {ruleset.mask:#x} == {route.mark:#x} "
            f"{settled('meta mark', ruleset.mask, route.mark)} accept"
        )


def of_route(ruleset: Ruleset, route: Steered) -> Iterable[Block]:
    """The sets and chains of one route. What many have alike is one block for all of them."""
    n = route.number
    yield from (addresses(version, elements) for version, elements in _sets(route) if len(elements) > 1)
    yield from _confined(route)
    yield chain(
        f"mark_{n}",
        *steering_lookups.refused(route),
        f"oif {_LOOPBACK} accept",
        *_ways(route),
        f"goto marked_{n}",
    )
    yield chain(
        f"marked_{n}",
        settled("ct mark", ruleset.mask, route.mark),
        settled("meta mark", ruleset.mask, route.mark),
        "accept",
    )
    yield chain(
        f"call_{n}",
        f"counter name in_{n}",
        f"ct direction original ct mark & {ruleset.mask:#x} == 0x0 "
        + settled("ct mark", ruleset.mask, bound(ruleset, route)),
    )
    yield chain(f"zone_{n}", f"ct original zone set {ZONES + n}")
    yield chain(f"lookups_{n}", *steering_lookups.sent_on(route))
    yield chain(f"leave_{n}", f"counter name out_{n}", "accept")
    yield chain(f"refuse_{n}", *_refusal(route))
    yield chain(f"door_{n}", *_door(ruleset, route))


def maps(ruleset: Ruleset, level: int, targets: Sequence[tuple[str, int]]) -> Iterable[Block]:
    """The maps from targets at a depth to the chains of their routes. targets: paths and route numbers."""
    if not ruleset.steered:
        return
    steered = {route.number for route in ruleset.steered}
    for name, to in zip(maps_of(level), ("call", "zone", "marked"), strict=True):
        yield mapping(name, {path: f"goto {to}_{n}" for path, n in targets if n in steered})


def maps_of(level: int) -> tuple[str, str, str]:
    """The maps from targets at a depth to who calls them, to their zones, and to what lost its mark since."""
    return f"called_{level}", f"zones_{level}", f"late_{level}"


def hooks(ruleset: Ruleset, levels: Sequence[int]) -> Iterable[Block]:
    """The chains that lead to those of the routes. levels: the depths at which there are targets."""
    if not ruleset.steered:
        return
    number_mask = ruleset.number_mask
    ours = f"meta mark & {ruleset.mask:#x} == 0x0 accept"

    def by_mark(name: str, of: str = "meta") -> str:
        verdicts = ", ".join(f"{route.mark:#x} : goto {name}_{route.number}" for route in ruleset.steered)
        return f"{of} mark & {number_mask:#x} vmap {{ {verdicts} }}"

    marks = ", ".join(f"{route.mark:#x}" for route in ruleset.steered)
    yield chain(
        "zones",
        f"oif {_LOOPBACK} accept",
        "meta l4proto tcp accept",
        # A socket that was let go, or has another route by now, is told by its mark, wherever it was made.
        f"meta mark & {ruleset.mask:#x} == {ruleset.bound:#x} accept",
        by_mark("zone"),
        *(f"socket cgroupv2 level {level} vmap @zones_{level}" for level in levels),
        hook="type filter hook output priority raw",
    )
    yield chain(
        "calls",
        f"iif {_LOOPBACK} accept",
        *(f"socket cgroupv2 level {level} vmap @called_{level}" for level in levels),
        # Somebody else has taken over the port of a server of a command's.
        f"ct direction original ct mark & {ruleset.mask:#x} != 0x0 socket mark & {ruleset.mask:#x} == 0x0 "
        + settled("ct mark", ruleset.mask, 0),
        hook="type filter hook input priority mangle",
    )
    # Others may have taken both marks away, or sent elsewhere what was for this machine: let the guard know.
    yield chain(
        "late",
        "fib daddr type local accept",
        "ct direction reply accept",
        f"meta mark & {ruleset.mask:#x} != 0x0 accept",
        *(f"socket cgroupv2 level {level} vmap @late_{level}" for level in levels),
        hook="type filter hook output priority 300",
    )
    yield chain(
        "lookups",
        ours,
        "meta l4proto != { tcp, udp } accept",
        "th dport != 53 accept",
        by_mark("lookups"),
        hook="type nat hook output priority -100",
    )
    yield chain(
        "sources",
        f"meta mark & {number_mask:#x} != {{ {marks} }} accept",
        f"oif {_LOOPBACK} accept",
        "fib saddr . oif type != local masquerade",
        hook="type nat hook postrouting priority srcnat",
    )
    # A firewall may have taken the packet's mark away; what conntrack does not know has only that.
    doors = (by_mark("door", "ct"), by_mark("door"))
    yield chain("guard", *doors, hook="type filter hook postrouting priority 110")


def _sets(route: Steered) -> Iterable[tuple[int, Sequence[str]]]:
    """The addresses that its chains compare with, each with their version."""
    for version in (4, 6):
        yield version, _OF_LINK[version]
        yield version, steering_lookups.not_asked(route, version)
        yield from ((version, pieces) for _, pieces in _lan(route, version))
    yield from ((family.value, _reached(to)) for family, to in route.confined.items())


def _reached(destinations: Collection[IPNetwork]) -> list[str]:
    return sorted(map(str, destinations))


def _lan(route: Steered, version: int) -> Iterable[tuple[int, list[str]]]:
    """The LAN: an ifindex, 0: any; and what is reached by it."""
    return ((ifindex, [*map(_range, pieces)]) for ifindex, pieces in ranges(route.door.lan, version).items())


def _confined(route: Steered) -> Iterable[Block]:
    """A connection that has no way now is refused at once: TCP is not told that its packets are dropped.

    An ICMP error finds an IPv6 socket busy with connect(2), and waits for the next try a second later.
    """
    for family, destinations in sorted(route.confined.items(), key=lambda c: c[0].value):
        version, ip = family.value, HEADERS[family.value]
        reached = [_OF_LINK[version], *([_reached(destinations)] if destinations else [])]
        yield chain(
            f"confined{version}_{route.number}",
            *(f"{ip} daddr {among(version, some)} goto marked_{route.number}" for some in reached),
            *(["meta l4proto tcp reject with tcp reset"] if family is Family.IPV6 else []),
            "reject with icmpx no-route",
        )


def _ways(route: Steered) -> Iterable[str]:
    for family in sorted(route.confined, key=lambda f: f.value):
        protocol = f"meta nfproto ipv{family.value} meta l4proto {{ tcp, icmp, ipv6-icmp }}"
        yield f"{protocol} goto confined{family.value}_{route.number}"


def _door(ruleset: Ruleset, route: Steered) -> Iterable[str]:
    n, door = route.number, route.door
    own = f"oif {either(door.adapters)}" if door.adapters else ""
    answers = f"ct direction reply ct mark & {ruleset.mask:#x} == {bound(ruleset, route):#x}"
    yield f"oif {_LOOPBACK} accept"
    if own:
        yield f"{own} fib saddr . oif type local goto leave_{n}"
        yield f"{own} {answers} goto leave_{n}"
        yield from (f"{own} {ip} saddr {_NONE[v]} goto leave_{n}" for v, ip in HEADERS.items())
    if not route.strict:
        yield f"{answers} goto leave_{n}"
        yield from (f"{steered} goto refuse_{n}" for steered in _SOURCE_ROUTES)
        for version, ip in HEADERS.items():
            yield f"{ip} daddr {among(version, _OF_LINK[version])} goto leave_{n}"
            for ifindex, pieces in _lan(route, version):
                by = f"oif {ifindex} " if ifindex else ""
                yield f"{by}{ip} daddr {among(version, pieces)} goto leave_{n}"
    yield f"goto refuse_{n}"


def _refusal(route: Steered) -> Iterable[str]:
    if drops := _drops(route):
        counted = ", ".join(f'{ifindex} : "{name}"' for ifindex, name in drops.items())
        yield f"counter name oif map {{ {counted} }}"
    yield "drop"


def _drops(route: Steered) -> dict[int, str]:
    """The counter of what is dropped, by the ifindex that it would have left by."""
    by = (*route.others, *sorted(route.door.adapters))
    return {ifindex: f"drop_{route.number}_{ifindex}" for ifindex in by}


def _range(piece: tuple[IPAddress, IPAddress]) -> str:
    first, last = piece
    return str(first) if first == last else f"{first}-{last}"
