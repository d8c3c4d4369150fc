"""What routing costs a packet: the kernel's work for one operation, against an unrouted process (1.00).

    make bench            or: python -m tests.bench.packets [--pairs N] [--write-baseline] [--json FILE]

Each operation (connect and reset; a request and its response on one connection; one UDP datagram from a
connected socket, and one from an unconnected socket, which looks up its way each time) runs in labs that
differ in nothing else: without procroute, with 1 route, with 100. A round runs all variants once, in turning
order; a ratio is the median over the rounds of variant / direct of the same round. "direct again" is the
noise. "direct, 1 rule" has one ip rule of somebody else's, which matches nothing: what the first rule on a
machine costs, whoever's it is (the kernel then looks up `local` and `main` one after the other).

The unit is kernel instructions where the machine has the counter (`perf stat -e instructions:k` counts the
same), else CPU time, which is too noisy to judge by and fails nothing. On an emulator whose clock counts
instructions (qemu -accel tcg -icount shift=0) CPU time is instructions: say so with --icount.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from procroute.lab import Lab
from tests.bench.far_end import ADAPTER, TARGETS, compile_load, lab_with_far_end

BASELINE = Path(__file__).with_name("baseline.json")
INSTRUCTIONS = "instructions:k"
ICOUNT = "instructions:icount"
OPERATIONS = {"connect": 1000, "request": 2000, "send": 4000, "sendto": 4000}
MANY = 100

# What docs/promises.md promises (PERF-02, PERF-03).
ROUTED_LIMIT, BYSTANDER_LIMIT, MANY_LIMIT = 1.07, 1.03, 0.03

Figures = dict[str, dict[str, dict[str, float]]]
"""operation → family → variant → value"""
Seen = dict[tuple[str, str, str], list[tuple[float, float]]]
"""(operation, family, variant) → a value and its ratio for each round"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run an operation: in which lab, and behind which command."""

    name: str
    lab: Lab
    before: tuple[str, ...] = ()
    limit: float | None = None


def make_routes(lab: Lab, count: int) -> list[str]:
    """Make `count` routes that live as long as the lab; returns cgroups of the first two.

    Raises SystemExit with what went wrong.
    """
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.bench.many_routes", ADAPTER, str(count)]
    process = lab.popen(command, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        cgroups = process.stdout.readline().split()
        if not cgroups:
            raise SystemExit(process.stderr.read())
        return cgroups


def routed(cgroup: str) -> tuple[str, ...]:
    """A command in front of another, that starts it in a cgroup. Without Python, so that rounds are short."""
    return ("sh", "-c", 'echo 0 >"$1"/cgroup.procs && shift && exec "$@"', "sh", cgroup)


def one(
    variant: Variant, load: Path, operation: str, family: str, count: int, *more: str
) -> tuple[str, float]:
    """The measure, and its value for one operation. more: further arguments of the load program."""
    command = [*variant.before, str(load), operation, TARGETS[family], str(count), *more]
    done = variant.lab.run(command, timeout=60)
    if done.returncode:
        raise SystemExit(f"{variant.name}: {' '.join(command)}: {done.stderr}")
    measure, value = done.stdout.split()
    return measure, float(value)


def rounds(variants: list[Variant], load: Path, pairs: int, console: Console) -> tuple[str, Figures, Figures]:
    """Run everything `pairs` times, interleaved: the measure, medians, and ratios to the first variant."""
    seen: Seen = {}
    measure = ""
    for number in range(pairs):
        console.print(f"round {number + 1} of {pairs}", style="dim")
        for operation, count in OPERATIONS.items():
            for family in TARGETS:
                turn = number % len(variants)
                counted = {}
                for variant in variants[turn:] + variants[:turn]:
                    measure, counted[variant.name] = one(variant, load, operation, family, count)
                direct = counted[variants[0].name]
                for name, value in counted.items():
                    seen.setdefault((operation, family, name), []).append((value, value / direct))
    return measure, *summary(seen)


def summary(seen: Seen) -> tuple[Figures, Figures]:
    """Medians of values, and of ratios."""
    medians: Figures = {}
    ratios: Figures = {}
    for (operation, family, name), found in seen.items():
        values, shares = zip(*found, strict=True)
        medians.setdefault(operation, {}).setdefault(family, {})[name] = round(median(values))
        ratios.setdefault(operation, {}).setdefault(family, {})[name] = round(median(shares), 4)
    return medians, ratios


def faults(ratios: Figures, variants: Iterable[Variant]) -> list[str]:
    """One sentence for each promise that the ratios do not keep."""
    found = []
    for operation, families in ratios.items():
        for family, values in families.items():
            what = f"{operation} over {family}"
            for variant in variants:
                if variant.limit is not None and values[variant.name] > variant.limit:
                    found.append(
                        f"{what}: {variant.name} {values[variant.name]:.3f}, promised {variant.limit}"
                    )
            for kind in ("routed", "bystander"):
                apart = abs(values[f"{kind}, {MANY} routes"] - values[f"{kind}, 1 route"])
                if apart > MANY_LIMIT:
                    found.append(f"{what}: {kind} at 1 and at {MANY} routes {apart:.3f} apart")
    return found


def show(measure: str, medians: Figures, ratios: Figures, baseline: Figures, console: Console) -> None:
    """A table of ratios, each with its distance from the committed baseline."""
    columns = [(operation, family) for operation, families in ratios.items() for family in families]
    table = Table(title=f"{measure} for one operation, direct = 1.00", title_justify="left", box=None)
    table.add_column("")
    for operation, family in columns:
        table.add_column(f"{operation}\n{family}", justify="right")
    table.add_row(measure, *(f"{medians[o][f]['direct']:,.0f}" for o, f in columns), style="dim")
    operation, family = columns[0]
    for name in ratios[operation][family]:
        cells = []
        for operation, family in columns:
            value = ratios[operation][family][name]
            before = baseline.get(operation, {}).get(family, {}).get(name)
            cells.append(f"{value:.3f}" + (f" [dim]{value - before:+.3f}[/]" if before is not None else ""))
        table.add_row(name, *cells)
    console.print(table)


def read_baseline(measure: str) -> Figures:
    """The committed ratios, or nothing where they are of another unit."""
    if not BASELINE.exists():
        return {}
    known = json.loads(BASELINE.read_text(encoding="utf-8"))
    found: Figures = known.get(measure, {}).get("ratios", {})
    return found


def record(measure: str, ratios: Figures, pairs: int, file: Path) -> None:
    """Write the ratios below their unit; what the file has of other units stays."""
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    known[measure] = {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "pairs": pairs,
        "date": time.strftime("%Y-%m-%d"),
        "ratios": ratios,
    }
    file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.packets", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--pairs", type=int, default=9, help="rounds, at least 7 for figures to keep (default 9)"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--write-baseline", action="store_true", help=f"write them to {BASELINE.name}")
    parser.add_argument("--icount", action="store_true", help="CPU time counts instructions on this machine")
    parser.add_argument("--load", type=Path, help="the compiled load program, where there is no compiler")
    given = parser.parse_args()
    console = Console()

    with ExitStack() as stack:
        load = given.load or compile_load(
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="procroute-bench.")))
        )
        plain, again, ruled, few, many = (stack.enter_context(lab_with_far_end(load)) for _ in range(5))
        for family in ("-4", "-6"):
            ruled.ip(f"{family} rule add pref 100 fwmark 0x1/0x1 unreachable")
        with console.status(f"making 1 and {MANY} routes"):
            (first,) = make_routes(few, 1)
            first_of_many, with_lookups = make_routes(many, MANY)
        variants = [
            Variant("direct", plain),
            Variant("direct again", again),
            Variant("direct, 1 rule", ruled),
            Variant("routed, 1 route", few, routed(first), ROUTED_LIMIT),
            Variant(f"routed, {MANY} routes", many, routed(first_of_many), ROUTED_LIMIT),
            Variant("routed, look-ups too", many, routed(with_lookups)),
            Variant("bystander, 1 route", few, (), BYSTANDER_LIMIT),
            Variant(f"bystander, {MANY} routes", many, (), BYSTANDER_LIMIT),
        ]
        measure, medians, ratios = rounds(variants, load, given.pairs, console)

    if given.icount:
        measure = ICOUNT
    show(measure, medians, ratios, read_baseline(measure), console)
    for file in [given.json] if given.json else []:
        record(measure, ratios, given.pairs, file)
    if given.write_baseline:
        record(measure, ratios, given.pairs, BASELINE)
    if measure not in (INSTRUCTIONS, ICOUNT):
        console.print(
            "This machine counts no instructions: CPU time instead, and no verdict.", style="yellow"
        )
        return 0
    found = faults(ratios, variants)
    for fault in found:
        console.print(f"[red]not kept[/]: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
