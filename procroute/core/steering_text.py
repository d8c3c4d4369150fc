"""What nft does for a route without BPF, in nft's words; see core/nft_text.py for the whole table.

main has chosen a source address by then, so a packet that is sent another way needs the address of its new
adapter, and conntrack to take it back. Conntrack's mark carries the route, too: of what a command began, and,
with the bound bit, of what strangers began with one of its servers. Those are answered as a socket is that is
tied to an address: by the adapter that they came in on.

Datagrams of a route are in a zone of their own: two commands may send, one after the other, from one port of
one address to one server, and conntrack would take them for one conversation. A TCP connection begins anew
with its SYN, and has no zone: so what has no socket any more is found, the last acknowledgement or a reset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

from procroute.core.lan_ranges import ranges
from procroute.core.nft_blocks import Block, chain, intervals, mapping, settled
from procroute.core.ruleset import Ruleset, Steered
from procroute.identity import ZONES
from procroute.model import Family, IPAddress, IPNetwork

_LOOPBACK = 1
_HEADERS = {4: "ip", 6: "ip6"}
_TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}
_OF_LINK = {4: ("224.0.0.0/4", "169.254.0.0/16", "255.255.255.255"), 6: ("ff00::/8", "fe80::/10")}
_NONE = {4: "0.0.0.0", 6: "::"}
_HERE = {4: "127.0.0.0/8", 6: "::1"}
_SOURCE_ROUTES = ("ip option lsrr exists", "ip option ssrr exists", "exthdr rt exists")
_LOOKUP = "meta l4proto { tcp, udp } th dport 53"


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
    yield from (_set(version, elements) for version, elements in _sets(route) if len(elements) > 1)
    yield from _confined(route)
    yield chain(
        f"mark_{n}", *_refused_lookups(route), f"oif {_LOOPBACK} accept", *_ways(route), f"goto marked_{n}"
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
    yield chain(f"lookups_{n}", *_lookups(route))
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
        yield version, _not_asked(route, version)
        yield from ((version, pieces) for _, pieces in _lan(route, version))
    yield from ((family.value, _reached(to)) for family, to in route.confined.items())


def _set(version: int, elements: Sequence[str]) -> Block:
    return intervals(_name(version, elements), _TYPES[version], elements)


def _name(version: int, elements: Sequence[str]) -> str:
    """The same for the same: to make a set takes the kernel as long as to make five rules."""
    return f"of{version}_{hashlib.sha256(' '.join(elements).encode()).hexdigest()[:16]}"


def _among(version: int, elements: Sequence[str]) -> str:
    """What an address is compared with: one of these, or the set of them."""
    return elements[0] if len(elements) == 1 else f"@{_name(version, elements)}"


def _reached(destinations: Collection[IPNetwork]) -> list[str]:
    return sorted(map(str, destinations))


def _lan(route: Steered, version: int) -> Iterable[tuple[int, list[str]]]:
    """The LAN: an ifindex, 0: any; and what is reached by it."""
    return ((ifindex, [*map(_range, pieces)]) for ifindex, pieces in ranges(route.door.lan, version).items())


def _by(adapters: Iterable[int]) -> str:
    """One ifindex, or several."""
    names = [*map(str, sorted(adapters))]
    return names[0] if len(names) == 1 else f"{{ {', '.join(names)} }}"


def _confined(route: Steered) -> Iterable[Block]:
    """A connection that has no way now is refused at once: TCP is not told that its packets are dropped.

    An ICMP error finds an IPv6 socket busy with connect(2), and waits for the next try a second later.
    """
    for family, destinations in sorted(route.confined.items(), key=lambda c: c[0].value):
        version, ip = family.value, _HEADERS[family.value]
        reached = [_OF_LINK[version], *([_reached(destinations)] if destinations else [])]
        yield chain(
            f"confined{version}_{route.number}",
            *(f"{ip} daddr {_among(version, some)} goto marked_{route.number}" for some in reached),
            *(["meta l4proto tcp reject with tcp reset"] if family is Family.IPV6 else []),
            "reject with icmpx no-route",
        )


def _ways(route: Steered) -> Iterable[str]:
    for family in sorted(route.confined, key=lambda f: f.value):
        protocol = f"meta nfproto ipv{family.value} meta l4proto {{ tcp, icmp, ipv6-icmp }}"
        yield f"{protocol} goto confined{family.value}_{route.number}"


def _refused_lookups(route: Steered) -> Iterable[str]:
    """Look-ups that would be answered past the route: by a resolver of this machine, or for want of one.

    To a given server on this machine they go.
    """
    door = route.door
    if not door.follows_lookups:
        return
    for version in (4, 6):
        ip = _HEADERS[version]
        kept = [str(s) for s in door.dns_servers if s.version == version and s.is_loopback]
        if kept:
            yield f"{_LOOKUP} {ip} daddr {{ {', '.join(kept)} }} goto marked_{route.number}"
        yield from _reject(f"{ip} daddr {_among(version, _not_asked(route, version))}")
    own = f"oif != {_by(door.adapters)} " if door.adapters else ""
    linked = sorted({str(r).partition("%")[0] for r in door.resolvers if r.version == 6 and r.is_link_local})
    if linked:
        yield from _reject(f"{own}ip6 daddr {{ {', '.join(linked)} }}")


def _not_asked(route: Steered, version: int) -> list[str]:
    """This machine, and the resolvers in whose place there is no server."""
    given = any(s.version == version for s in route.door.dns_servers)
    return [_HERE[version], *(str(r) for r in _resolvers(route, version) if not given)]


def _reject(what: str) -> Iterable[str]:
    """Datagrams are refused with EPERM at once, connections by a reset."""
    yield f"meta l4proto tcp th dport 53 {what} reject with tcp reset"
    yield f"meta l4proto udp th dport 53 {what} reject"


def _lookups(route: Steered) -> Iterable[str]:
    """The first resolver's go to the first server, the second's to the second …"""
    for version in (4, 6):
        servers = [s for s in route.door.dns_servers if s.version == version and not s.is_loopback]
        for place, resolver in enumerate(_resolvers(route, version)):
            if servers:
                ip, server = _HEADERS[version], servers[place % len(servers)]
                yield f"{ip} daddr {resolver} dnat {ip} to {server}"


def _resolvers(route: Steered, version: int) -> list[IPAddress]:
    door = route.door
    found = (r for r in door.resolvers if r.version == version and r not in door.dns_servers)
    return [r for r in found if not r.is_loopback and not r.is_link_local]


def _door(ruleset: Ruleset, route: Steered) -> Iterable[str]:
    n, door = route.number, route.door
    own = f"oif {_by(door.adapters)}" if door.adapters else ""
    answers = f"ct direction reply ct mark & {ruleset.mask:#x} == {bound(ruleset, route):#x}"
    yield f"oif {_LOOPBACK} accept"
    if own:
        yield f"{own} fib saddr . oif type local goto leave_{n}"
        yield f"{own} {answers} goto leave_{n}"
        yield from (f"{own} {ip} saddr {_NONE[v]} goto leave_{n}" for v, ip in _HEADERS.items())
    if not route.strict:
        yield f"{answers} goto leave_{n}"
        yield from (f"{steered} goto refuse_{n}" for steered in _SOURCE_ROUTES)
        for version, ip in _HEADERS.items():
            yield f"{ip} daddr {_among(version, _OF_LINK[version])} goto leave_{n}"
            for ifindex, pieces in _lan(route, version):
                by = f"oif {ifindex} " if ifindex else ""
                yield f"{by}{ip} daddr {_among(version, pieces)} goto leave_{n}"
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
