"""What a belt costs a packet: nft chains that look for packets of routed cgroups without a mark of ours.

    python -m tests.bench.belts [--pairs N] [--icount] [--load FILE] [--json FILE] [--list] [SHAPE…]

Each shape is loaded into a lab with 1 route (those named "100 routes": with 100) only while an operation is
counted beside it, once by a bystander and once by a routed process, so that nothing of one is in the way of
another. Ratios are to an unrouted process without any of it, as in packets.py, which has the rest.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from procroute.identity import Identity
from procroute.lab import Lab
from tests.bench.far_end import ADAPTER, TARGETS, compile_load, lab_with_far_end
from tests.bench.packets import (
    ICOUNT,
    MANY,
    OPERATIONS,
    Figures,
    Seen,
    Variant,
    make_routes,
    one,
    record,
    routed,
    show,
    summary,
)

SLICE: Final = "procroute.slice"
ONE_ROUTE: Final = "1 route"
MANY_ROUTES: Final = f"{MANY} routes"
MASK: Final = f"{Identity().mark_mask:#x}"
OURS, NONE = f"and {MASK} != 0x0", f"and {MASK} == 0x0"

BELOW: Final = f'socket cgroupv2 level 1 "{SLICE}"'
"""By one comparison: anything below the slice that all targets are in."""

OUTPUT: Final = "filter hook output priority mangle"
REROUTE: Final = "route hook output priority mangle"


@dataclass(frozen=True, slots=True)
class Target:
    """A route's cgroup, from the root that nft sees, and its mark."""

    path: str
    mark: int


Shape = Callable[[list[Target]], str]
"""The nft script, for these routes."""


def table(*blocks: str, family: str = "inet", name: str = "belt") -> str:
    """A table of these sets and chains."""
    return f"table {family} {name} {{\n{''.join(blocks)}}}\n"


def chain(name: str, *rules: str, hook: str = "") -> str:
    """A chain; with a hook, a base chain that lets through what no rule decides."""
    lines = [f"type {hook}; policy accept;", *rules] if hook else rules
    return f"chain {name} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def lost(targets: list[Target]) -> str:
    """Where packets that lost their mark end: counted by route and marked; those of tunnels are let be."""
    elements = ", ".join(f'"{t.path}" : jump r{n}' for n, t in enumerate(targets))
    by_target = f"map targets {{\n  type cgroupsv2 : verdict\n  elements = {{ {elements} }}\n}}\n"
    routes = (chain(f"r{n}", "counter", f"meta mark set {t.mark:#x}") for n, t in enumerate(targets))
    verdict = chain("lost", f"socket mark {OURS} return", "socket cgroupv2 level 2 vmap @targets")
    return "".join(routes) + by_target + verdict


def by_map(targets: list[Target], hook: str, *first: str) -> str:
    """A verdict map of targets asked in the base chain; `first`: rules before."""
    elements = ", ".join(f'"{t.path}" : jump r{n}' for n, t in enumerate(targets))
    by_target = f"map targets {{\n  type cgroupsv2 : verdict\n  elements = {{ {elements} }}\n}}\n"
    routes = (
        chain(f"r{n}", f"socket mark {OURS} return", "counter", f"meta mark set {t.mark:#x}")
        for n, t in enumerate(targets)
    )
    last = "socket cgroupv2 level 2 vmap @targets"
    return table(*routes, by_target, chain("belt", *first, last, hook=hook))


def base(hook: str, *rules: str, family: str = "inet") -> Shape:
    """A base chain with these rules, which may go to "lost"."""
    return lambda targets: table(lost(targets), chain("belt", *rules, hook=hook), family=family)


def both(first: Shape, second: Shape) -> Shape:
    """Two scripts, one after the other."""
    return lambda targets: first(targets) + second(targets)


def firewall(*rules: str) -> Shape:
    """Somebody else's few rules on what leaves."""
    ordinary = (
        'oifname "lo" accept',
        *rules,
        "ip daddr { 203.0.113.0/24, 192.0.2.7 } drop",
        "ip6 daddr 2001:db8:bad::/48 drop",
        "tcp dport { 25, 135, 445 } drop",
        "meta l4proto { tcp, udp, icmp, ipv6-icmp } accept",
    )
    return lambda _: table(chain("out", *ordinary, hook="filter hook output priority filter"), name="theirs")


STATELESS: Final = firewall()
STATEFUL: Final = firewall("ct state established,related accept", "ct state invalid drop")
CHEAPEST: Final = base(OUTPUT, f"{BELOW} meta mark {NONE} jump lost")
MAPPED: Final[Shape] = lambda targets: by_map(targets, REROUTE, f"meta mark {OURS} accept")  # noqa: E731

SHAPES: Final[dict[str, Shape]] = {
    "map, route": MAPPED,
    "map, filter": lambda t: by_map(t, OUTPUT, f"meta mark {OURS} accept"),
    "slice, filter": CHEAPEST,
    "slice, route": base(REROUTE, f"{BELOW} meta mark {NONE} jump lost"),
    "slice jump, route": base(REROUTE, f"meta mark {OURS} accept", f"{BELOW} jump lost"),
    "theirs": STATELESS,
    "theirs + slice, filter": both(STATELESS, CHEAPEST),
    "theirs + map, route": both(STATELESS, MAPPED),
    "theirs ct": STATEFUL,
    "theirs ct + slice, filter": both(STATEFUL, CHEAPEST),
    "theirs ct + map, route": both(STATEFUL, MAPPED),
    "empty, filter": base(OUTPUT),
    "empty, route": base(REROUTE),
    "mark then slice, filter": base(OUTPUT, f"meta mark {NONE} {BELOW} jump lost"),
    "mark accept, slice, filter": base(OUTPUT, f"meta mark {OURS} accept", f"{BELOW} jump lost"),
    "slice then socket mark, filter": base(OUTPUT, f"{BELOW} socket mark {NONE} jump lost"),
    "slice != accept, filter": base(
        OUTPUT, f'socket cgroupv2 level 1 != "{SLICE}" accept', f"meta mark {NONE} jump lost"
    ),
    "slice, filter, ip + ip6": both(
        base(OUTPUT, f"{BELOW} meta mark {NONE} jump lost", family="ip"),
        base(OUTPUT, f"{BELOW} meta mark {NONE} jump lost", family="ip6"),
    ),
    "slice, route, ip + ip6": both(
        base(REROUTE, f"{BELOW} meta mark {NONE} jump lost", family="ip"),
        base(REROUTE, f"{BELOW} meta mark {NONE} jump lost", family="ip6"),
    ),
    "map, filter, ip + ip6": lambda t: "".join(
        by_map(t, OUTPUT, f"meta mark {OURS} accept").replace("table inet", f"table {family}")
        for family in ("ip", "ip6")
    ),
    "lo accept, slice, filter": base(OUTPUT, "oif lo accept", f"{BELOW} meta mark {NONE} jump lost"),
    "mark, postrouting": lambda t: table(
        chain(
            "belt",
            *(f'meta mark and {MASK} == {x.mark:#x} oifname != "{ADAPTER}" counter drop' for x in t),
            hook="filter hook postrouting priority mangle",
        )
    ),
    "mark, egress": lambda t: table(
        chain(
            "belt",
            *(f"meta mark and {MASK} == {x.mark ^ 0x10000000:#x} counter drop" for x in t),
            hook=f"filter hook egress device {ADAPTER} priority 0",
        ),
        family="netdev",
    ),
    "slice, filter, 100 routes": CHEAPEST,
    "slice, route, 100 routes": base(REROUTE, f"{BELOW} meta mark {NONE} jump lost"),
    "map, filter, 100 routes": lambda t: by_map(t, OUTPUT, f"meta mark {OURS} accept"),
    "map, route, 100 routes": MAPPED,
}


def targets_in(lab: Lab) -> list[Target]:
    """The cgroups of a lab's routes; which has which mark does not matter to the cost."""
    found = lab.sh(f"cd /sys/fs/cgroup && ls -d {SLICE}/procroute-*.slice").split()
    return [Target(path, Identity().mark(number)) for number, path in enumerate(found, 1)]


def counted(
    variants: list[Variant],
    scripts: Mapping[str, str],
    load: Path,
    pairs: int,
    share: float,
    console: Console,
) -> tuple[str, Figures, Figures]:
    """Like packets.rounds, but each variant does all its operations at once: loading rules takes longer.

    The figure is the median of single operations, which tells a few instructions apart.

    scripts: variant → nft rules; share: of the usual number of operations.
    """
    seen: Seen = {}
    measure = ""
    for number in range(pairs):
        found: dict[tuple[str, str, str], float] = {}
        turn = number % len(variants)
        for variant in variants[turn:] + variants[:turn]:
            script = scripts.get(variant.name, "")
            if script:
                variant.lab.nft(script)
            for operation, count in OPERATIONS.items():
                for family in TARGETS:
                    measure, value = one(variant, load, operation, family, int(count * share), "each")
                    found[operation, family, variant.name] = value
            if script:
                variant.lab.nft("flush ruleset")
            values = " ".join(f"{v:.0f}" for (_, _, name), v in found.items() if name == variant.name)
            console.print(f"round {number + 1}: {variant.name}: {values}", style="dim", highlight=False)
        for (operation, family, name), value in found.items():
            direct = found[operation, family, variants[0].name]
            seen.setdefault((operation, family, name), []).append((value, value / direct))
    return measure, *summary(seen)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.belts", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help="which ones; all if none is named")
    parser.add_argument("--pairs", type=int, default=9, help="rounds (default 9)")
    parser.add_argument(
        "--share", type=float, default=0.1, help="of the number of operations in packets.py (default 0.1)"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--icount", action="store_true", help="CPU time counts instructions on this machine")
    parser.add_argument("--load", type=Path, help="the compiled load program, where there is no compiler")
    parser.add_argument(
        "--list", action="store_true", help="print the nft text of the shapes for one route, and end"
    )
    given = parser.parse_args()
    names = given.shapes or list(SHAPES)
    if unknown := set(names) - set(SHAPES):
        parser.error(f"no such shape: {', '.join(sorted(unknown))}")
    if given.list:
        for name in names:
            print(f"# {name}\n{SHAPES[name]([Target(f'{SLICE}/procroute-wan1.slice', Identity().mark(1))])}")
        return 0
    console = Console(width=250)

    with ExitStack() as stack:
        load = given.load or compile_load(
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="procroute-bench.")))
        )
        plain, again, few = (stack.enter_context(lab_with_far_end(load)) for _ in range(3))
        sizes = {ONE_ROUTE: (few, make_routes(few, 1)[0])}
        if any(name.endswith(MANY_ROUTES) for name in names):
            many = stack.enter_context(lab_with_far_end(load))
            sizes[MANY_ROUTES] = (many, make_routes(many, MANY)[0])
        variants, scripts = [Variant("direct", plain), Variant("direct again", again)], {}
        for size, (lab, cgroup) in sizes.items():
            variants.append(Variant(f"bystander, {size}", lab))
            variants.append(Variant(f"routed, {size}", lab, routed(cgroup)))
        for name in names:
            lab, cgroup = sizes[MANY_ROUTES if name.endswith(MANY_ROUTES) else ONE_ROUTE]
            for variant in (
                Variant(f"bystander, {name}", lab),
                Variant(f"routed, {name}", lab, routed(cgroup)),
            ):
                variants.append(variant)
                scripts[variant.name] = SHAPES[name](targets_in(lab))
        measure, medians, ratios = counted(variants, scripts, load, given.pairs, given.share, console)
    if given.icount:
        measure = ICOUNT
    show(measure, medians, ratios, {}, console)
    if given.json:
        record(measure, ratios, given.pairs, given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
