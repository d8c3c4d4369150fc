"""What routing costs a packet: the kernel's work for one operation, against an unrouted process (1.00).

    make bench            or: python -m tests.bench.packets [--pairs N] [--write-baseline] [--json FILE]

Each operation (connect and reset; a request and its response on one connection; one UDP datagram) runs in
four labs that differ in nothing else: two without procroute, one with 1 route, one with 100. A round runs all
variants once, in turning order; a ratio is the median over the rounds of variant / direct of the same round.
"direct again" is the noise.

The unit is kernel instructions where the machine has the counter (`perf stat -e instructions:k` counts the
same), else CPU time, which is noisier and never fails anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from procroute.lab import Lab
from tests.bench.far_end import ADAPTER, TARGETS, compile_load, lab_with_far_end

BASELINE = Path(__file__).with_name("baseline.json")
INSTRUCTIONS = "instructions:k"
OPERATIONS = {"connect": 1000, "request": 2000, "send": 4000}
MANY = 100

# What docs/promises.md promises (PERF-02, PERF-03).
ROUTED_LIMIT, BYSTANDER_LIMIT, MANY_LIMIT = 1.07, 1.03, 0.03

Ratios = dict[str, dict[str, dict[str, float]]]
"""operation → family → variant → ratio"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run an operation: in which lab, and behind which command."""

    name: str
    lab: Lab
    before: tuple[str, ...] = ()
    limit: float | None = None


def run_command(*options: str) -> tuple[str, ...]:
    """`procroute run` through the bench adapter, up to the command."""
    return (sys.executable, "-m", "procroute", "run", "--via", ADAPTER, *options, "--")


@contextmanager
def routes(lab: Lab, count: int) -> Iterator[None]:
    """Keep `count` routes alive in the lab: the plain one, and others that differ in their name server."""
    started = []
    for number in range(count):
        options = [] if number == 0 else ["--dns", f"198.18.2.{number}"]
        process = lab.popen(
            [*run_command(*options), "sh", "-c", "echo routed; exec sleep 3600"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "routed\n":
            raise SystemExit(f"route {number + 1} did not start: {process.stderr.read()}")
        # Its route lives as long as the command does. A hundred engines that wake up at each change would
        # only take the processor, so they go.
        os.kill(process.command_pid(), signal.SIGKILL)
        started.append(process)
    yield
    for process in started:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()


def one(variant: Variant, load: Path, operation: str, family: str, count: int) -> tuple[str, float]:
    """The measure, and its value for one operation."""
    command = [*variant.before, str(load), operation, TARGETS[family], str(count)]
    done = variant.lab.run(command, timeout=60)
    if done.returncode:
        raise SystemExit(f"{variant.name}: {' '.join(command)}: {done.stderr}")
    measure, value = done.stdout.split()
    return measure, float(value)


def rounds(variants: list[Variant], load: Path, pairs: int, console: Console) -> tuple[str, Ratios]:
    """Run everything `pairs` times, interleaved; the measure and the ratios to the first variant."""
    seen: dict[tuple[str, str, str], list[float]] = {}
    measure = ""
    for number in track(range(pairs), "rounds", console=console, transient=True):
        for operation, count in OPERATIONS.items():
            for family in TARGETS:
                turn = number % len(variants)
                values = {}
                for variant in variants[turn:] + variants[:turn]:
                    measure, values[variant.name] = one(variant, load, operation, family, count)
                direct = values[variants[0].name]
                for name, value in values.items():
                    seen.setdefault((operation, family, name), []).append(value / direct)
    ratios: Ratios = {}
    for (operation, family, name), found in seen.items():
        ratios.setdefault(operation, {}).setdefault(family, {})[name] = round(median(found), 4)
    return measure, ratios


def faults(ratios: Ratios, variants: Iterable[Variant]) -> list[str]:
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


def show(measure: str, ratios: Ratios, baseline: Ratios, console: Console) -> None:
    """A table of ratios, each with its distance from the committed baseline."""
    columns = [(operation, family) for operation, families in ratios.items() for family in families]
    table = Table(title=f"{measure} for one operation, direct = 1.00", title_justify="left", box=None)
    table.add_column("")
    for operation, family in columns:
        table.add_column(f"{operation}\n{family}", justify="right")
    operation, family = columns[0]
    for name in ratios[operation][family]:
        cells = []
        for operation, family in columns:
            value = ratios[operation][family][name]
            before = baseline.get(operation, {}).get(family, {}).get(name)
            cells.append(f"{value:.3f}" + (f" [dim]{value - before:+.3f}[/]" if before is not None else ""))
        table.add_row(name, *cells)
    console.print(table)


def read_baseline(measure: str) -> Ratios:
    """The committed ratios, or nothing where they are of another unit."""
    if not BASELINE.exists():
        return {}
    known = json.loads(BASELINE.read_text(encoding="utf-8"))
    found: Ratios = known.get(measure, {}).get("ratios", {})
    return found


def record(measure: str, ratios: Ratios, pairs: int, file: Path) -> None:
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
    given = parser.parse_args()
    console = Console()

    with ExitStack() as stack:
        load = compile_load(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="procroute-bench."))))
        plain, again, few, many = (stack.enter_context(lab_with_far_end(load)) for _ in range(4))
        with console.status(f"making 1 and {MANY} routes"):
            stack.enter_context(routes(few, 1))
            stack.enter_context(routes(many, MANY))
        variants = [
            Variant("direct", plain),
            Variant("direct again", again),
            Variant("routed, 1 route", few, run_command(), ROUTED_LIMIT),
            Variant(f"routed, {MANY} routes", many, run_command(), ROUTED_LIMIT),
            Variant("bystander, 1 route", few, (), BYSTANDER_LIMIT),
            Variant(f"bystander, {MANY} routes", many, (), BYSTANDER_LIMIT),
        ]
        measure, ratios = rounds(variants, load, given.pairs, console)

    show(measure, ratios, read_baseline(measure), console)
    found = faults(ratios, variants)
    for fault in found:
        console.print(f"[yellow]beyond the promise[/]: {fault}")
    for file in [given.json] if given.json else []:
        record(measure, ratios, given.pairs, file)
    if given.write_baseline:
        record(measure, ratios, given.pairs, BASELINE)
    if measure != INSTRUCTIONS:
        console.print(
            "This machine counts no instructions: CPU time instead, which fails nothing.", style="dim"
        )
        return 0
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
