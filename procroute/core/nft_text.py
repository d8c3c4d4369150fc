"""Our nft table in nft's words (nft(8)), and the fingerprint by which it is known again.

belt               what a target's process sends without a mark of ours goes to its route's chain
of_targets_LEVEL   the same, for targets at this depth below the root of the tree; targets_LEVEL has them
lost_N             route N marks sockets, and this packet has lost the mark: counted, marked
mark_N             route N marks packets: all of them come here
note_pings, restore_pings, restore_mark
                   arriving packets get the mark of their socket, where the reverse path is checked

Only where routes mark packets alone (core/steering_text.py):

zones              of conntrack: what a route begins is kept apart from what others begin
calls              who calls one of their servers, by whatever adapter, is answered by that
lookups            port 53 of the system's resolvers becomes the route's name servers'
sources            what main gave another adapter's address gets the own one's
guard, door_N      what would leave by another adapter is counted and dropped

zones and calls know targets by zones_LEVEL and called_LEVEL.

nft 1.0.6 takes no `}` behind a statement on the same line, and cannot join two marks: so other people's bits
are kept value by value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from procroute.core import steering_text
from procroute.core.nft_blocks import Block, chain, counter, mapping, settled
from procroute.core.ruleset import Counter, Place, Restore, Ruleset
from procroute.identity import NFT_TABLE

_PINGS = ((4, "ip", "icmp"), (6, "ip6", "icmpv6"))
"""Family, and what nft calls its header and its ICMP."""


def script(
    ruleset: Ruleset | None, places: Mapping[int, Sequence[Place]], counters: Mapping[str, Counter]
) -> str:
    """What replaces the table in one transaction, or removes it.

    places: the cgroups of each route's targets. counters: what the present ones stand at, to go on from.
    """
    fresh = f"table inet {NFT_TABLE}\ndelete table inet {NFT_TABLE}\n"
    if ruleset is None:
        return fresh
    blocks = [*_counters(ruleset, counters), *_blocks(ruleset, places)]
    known_by = f"{fingerprint(ruleset)} {sum(block.rules for block in blocks)}"
    text = "".join(block.text() for block in blocks)
    return f'{fresh}table inet {NFT_TABLE} {{\n  comment "{known_by}"\n{text}}}\n'


def fingerprint(ruleset: Ruleset | None) -> str:
    """What tells a table from every other, whichever its cgroups and counts; empty for none.

    The table carries it as its comment, with a blank and the number of its rules behind it.
    """
    if ruleset is None:
        return ""
    text = "".join(block.text() for block in (*_counters(ruleset, {}), *_blocks(ruleset, {})))
    return hashlib.sha256(f"{sorted(ruleset.numbers)}{text}".encode()).hexdigest()[:16]


def chain_of(ruleset: Ruleset, number: int) -> str:
    """The chain to which a target of this route sends its unmarked packets."""
    return lost(number) if number in ruleset.belted else f"mark_{number}"


def lost(number: int) -> str:
    """The chain of a route that marks sockets."""
    return f"lost_{number}"


def map_of(level: int) -> str:
    """The map from cgroups at a depth to the chains of their routes."""
    return f"targets_{level}"


def _counters(ruleset: Ruleset, at: Mapping[str, Counter]) -> Iterable[Block]:
    names = [f"lost_{number}" for number in sorted(ruleset.belted)]
    names += [name for route in ruleset.steered for name in steering_text.counters(route)]
    return (counter(name, at.get(name, Counter())) for name in names)


def _blocks(ruleset: Ruleset, places: Mapping[int, Sequence[Place]]) -> Iterable[Block]:
    # The deepest first: of targets inside each other the nearer one decides.
    levels = sorted({place.level for found in places.values() for place in found}, reverse=True)
    for level in levels:
        at = [(p.path, n) for n in sorted(ruleset.numbers) for p in places.get(n, ()) if p.level == level]
        yield mapping(map_of(level), {path: f"goto {chain_of(ruleset, n)}" for path, n in at})
        yield chain(
            f"of_{map_of(level)}",
            f"socket cgroupv2 level {level} vmap @{map_of(level)}",
        )
        yield from steering_text.maps(ruleset, level, at)
    if ruleset.restore is not None:
        yield from _restore(ruleset.restore, ruleset)
    for number, mark in sorted(ruleset.belted.items()):
        yield chain(f"lost_{number}", *_lost(ruleset.mask, number, mark))
    yield from _of_steered(ruleset)
    yield from steering_text.hooks(ruleset, levels)
    if ruleset.numbers:
        yield chain(
            "belt",
            *steering_text.before_the_belt(ruleset),
            # Bystanders are out after one comparison a slice: docs/decisions/0009-belt.md.
            *(
                f'socket cgroupv2 level {level - 1} "{slice_}" meta mark & {ruleset.mask:#x} == 0x0 '
                f"{verdict} of_{map_of(level)}"
                for level, slice_, verdict in _slices(places)
            ),
            hook="type route hook output priority mangle",
        )


@lru_cache(4)  # asked for by each look, and to write the table
def _of_steered(ruleset: Ruleset) -> tuple[Block, ...]:
    """What the routes without BPF have; of blocks that are alike the first."""
    of_each = (steering_text.of_route(ruleset, route) for route in ruleset.steered)
    return tuple(dict.fromkeys(block for blocks in of_each for block in blocks))


def _slices(places: Mapping[int, Sequence[Place]]) -> list[tuple[int, str, str]]:
    """The slices with targets in them, each with the depth of these and what is done, the deepest first.

    From one that lies in another it goes back (jump): who is in none of its targets may be in the other's.
    """
    found = {(p.level, p.path.rpartition("/")[0]) for those in places.values() for p in those}
    within = {
        slice_: any(slice_.startswith(f"{other}/") for _, other in found if other) for _, slice_ in found
    }
    verdict = {slice_: "jump" if inside else "goto" for slice_, inside in within.items()}
    return sorted(((level, s, verdict[s]) for level, s in found), key=lambda f: (-f[0], f[1]))


def _lost(mask: int, number: int, mark: int) -> tuple[str, ...]:
    """A tunnel of the kernel's keeps the socket with the packet that it wraps, and takes its mark away: what
    has a marked socket is not lost, or it would loop (WireGuard)."""
    return (
        f"socket mark & {mask:#x} != 0x0 accept",
        f"counter name lost_{number}",
        settled("meta mark", mask, mark),
    )


def _restore(restore: Restore, ruleset: Ruleset) -> Iterable[Block]:
    """No socket can be found for an answer to a ping, so what commands ping is noted when it leaves."""
    mask, number_mask = ruleset.mask, ruleset.number_mask
    numbers = sorted({m & number_mask for m in restore.marks})
    # By adapter, address and identifier, so that nobody else's pings are taken for a routed command's. One
    # set a route: nft 1.0.6 stores wrong keys in a map from IPv6 addresses to marks.
    for number in numbers:
        for family, ip, kind in _PINGS:
            yield Block(
                f"set {_pings(family, number)}",
                (f"typeof oif . {ip} daddr . {kind} id", "size 4096", "flags dynamic, timeout", "timeout 1m"),
            )
    if numbers:
        yield chain(
            "note_pings",
            f"meta mark and {mask:#x} == 0x0 accept",
            *(
                f"meta mark and {number_mask:#x} == {number:#x} {kind} type echo-request "
                f"update @{_pings(family, number)} {{ oif . {ip} daddr . {kind} id }}"
                for number in numbers
                for family, ip, kind in _PINGS
            ),
            hook="type filter hook output priority mangle",
        )
        yield chain(
            "restore_pings",
            *(
                f"{kind} type echo-reply iif . {ip} saddr . {kind} id @{_pings(family, number)} "
                f"{settled('meta mark', mask, number)} accept"
                for number in numbers
                for family, ip, kind in _PINGS
            ),
        )
    adapters = ", ".join(f'"{name}"' for name in sorted(restore.adapters))
    yield chain(
        "restore_mark",
        f"iifname != {{ {adapters} }} accept",
        *steering_text.restored(ruleset),
        f"meta mark 0x0 socket mark and {mask:#x} != 0x0 meta mark set socket mark accept",
        *(
            f"meta mark and {mask:#x} == 0x0 socket mark and {mask:#x} == {mark:#x} "
            f"{settled('meta mark', mask, mark)} accept"
            for mark in sorted(restore.marks)
        ),
        *(f"{kind} type echo-reply goto restore_pings" for _, _, kind in _PINGS if numbers),
        hook="type filter hook prerouting priority mangle",
    )


def _pings(family: int, number: int) -> str:
    return f"pings{family}_{number:x}"
