"""What the hold costs those who are held, beside a bare cgroup migration, and what it costs everybody else.

    python -m tests.bench.hold [--isolated N] [--back-to-back N] [--pairs N]

Held: from before fork(2) to the end of a program that ends at once; the daemon's side is a stand-in that
moves the process and answers. Its cost is that against the same program not held, in rounds of one each, at
least a second apart: so none has another's RCU grace period for nothing.

Others: a program on the same file system that no rule names, with the holder and without, in pairs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from procroute.lab import Lab
from tests.netns.holding import PLACE, compiled, holding, place_with_route, rule

_APART = 1.0
_HELD, _PLAIN, _EXECS = f"{PLACE}/held", f"{PLACE}/plain", f"{PLACE}/execs"
_EACH = 1000
"""Execs in one measurement of what others pay."""
_LIMIT_MS, _OTHERS = 2.0, 1.01
"""What is promised: milliseconds beyond a migration, and the ratio of instructions for others."""


def programs(lab: Lab) -> None:
    """Put what is executed into the lab."""
    source = Path(__file__).with_name("execs.c")
    with tempfile.TemporaryDirectory() as folder:
        compiled(source, Path(folder, "execs"))
        compiled(source, Path(folder, "held"), "-DNOTHING", "-static", "-nostdlib")
        shutil.copy(Path(folder, "held"), Path(folder, "plain"))
        for name in os.listdir(folder):
            shutil.copy(Path(folder, name), lab.path(f"{PLACE}/{name}"))


def execute(lab: Lab, program: str, count: int = 1, pause: float = 0) -> list[float]:
    """Milliseconds of so many starts, with so many seconds before each.

    The pause is in the lab: to bring something there moves a process, too.
    """
    words = [f"{PLACE}/starts", "timed", str(count), str(round(1000 * pause)), program]
    out = lab.run(words, timeout=120, check=True).stdout
    found = [line.split() for line in out.splitlines()]
    assert all(status == "0" for _, status in found), out
    return [float(micro) / 1000 for micro, _ in found]


def migrate(places: list[Path], count: int, pause: float) -> list[float]:
    """Milliseconds of so many moves of a process between two cgroups."""
    found = []
    with subprocess.Popen(["sleep", "3600"]) as one:
        try:
            for n in range(count):
                time.sleep(pause)
                file = os.open(places[n % 2] / "cgroup.procs", os.O_WRONLY)
                began = time.perf_counter()
                os.write(file, str(one.pid).encode())
                found.append((time.perf_counter() - began) * 1000)
                os.close(file)
        finally:
            one.kill()
    return found


def show(console: Console, title: str, rows: dict[str, list[float]]) -> None:
    """Medians and 99th percentiles."""
    table = Table(title=title, title_justify="left", box=None)
    for column in ("", "n", "median, ms", "p99, ms"):
        table.add_column(column, justify="right" if column else "left")
    for name, values in rows.items():
        ordered = sorted(values)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        table.add_row(name, str(len(values)), f"{statistics.median(values):.2f}", f"{p99:.2f}")
    console.print(table)


def held(console: Console, isolated: int, back_to_back: int) -> bool:
    """What is held pays; whether that is within what is promised."""
    with place_with_route() as (lab, cgroup):
        programs(lab)
        target = lab.path(f"/sys/fs/cgroup{cgroup}")
        beside = target.parent / "bench.scope"
        beside.mkdir()
        try:
            with holding(lab, cgroup) as daemon:
                daemon.hold(rule(_HELD))
                bare, plain, hold = [], [], []
                for _ in range(isolated):
                    bare += migrate([target, beside], 1, _APART)
                    plain += execute(lab, _PLAIN, pause=_APART)
                    hold += execute(lab, _HELD, pause=_APART)
                placing = [1000 * one["placing"] for one in daemon.heard("Exec")]
                apart = [whole - move for whole, move in zip(hold, placing, strict=True)]
                show(
                    console,
                    f"at least {_APART:.0f} s apart",
                    {
                        "a bare migration": bare,
                        "exec, not held": plain,
                        "exec, held and placed": hold,
                        "the migration in that": placing,
                        "all but that": apart,
                    },
                )
                cost = statistics.median(hold) - statistics.median(plain) - statistics.median(bare)
                console.print(f"the hold beyond a migration: {cost:.2f} ms (promised: {_LIMIT_MS})\n")
                show(
                    console,
                    "back to back",
                    {
                        "a bare migration": migrate([target, beside], back_to_back, 0),
                        "exec, not held": execute(lab, _PLAIN, back_to_back),
                        "exec, held and placed": execute(lab, _HELD, back_to_back),
                    },
                )
        finally:
            beside.rmdir()
    return cost <= _LIMIT_MS


def others(console: Console, pairs: int) -> bool:
    """What everybody else pays; whether that is within what is promised, where it can be counted."""
    ratios: dict[str, list[float]] = {"without a holder, again": [], "with the holder": []}
    with place_with_route() as (lab, cgroup):
        programs(lab)

        def measured() -> tuple[str, float]:
            out = lab.run([_EXECS, str(_EACH), _PLAIN], timeout=120, check=True).stdout.split()
            return out[0], float(out[1])

        measure = ""
        for _ in range(pairs):
            measure, first = measured()
            ratios["without a holder, again"].append(measured()[1] / first)
            with holding(lab, cgroup) as daemon:
                daemon.hold(rule(_HELD))
                ratios["with the holder"].append(measured()[1] / first)
    table = Table(title=f"\n{measure} of an exec that is not held", title_justify="left", box=None)
    table.add_column("")
    table.add_column("median ratio", justify="right")
    for name, values in ratios.items():
        table.add_row(name, f"{statistics.median(values):.3f}")
    console.print(table)
    if measure != "instructions:k":
        console.print(
            "This machine counts no instructions: CPU time instead, and no verdict.", style="yellow"
        )
        return True
    return statistics.median(ratios["with the holder"]) <= _OTHERS


def main() -> int:
    """Print all; 1 if something is not as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.hold")
    parser.add_argument("--isolated", type=int, default=30, help="rounds of three seconds (default 30)")
    parser.add_argument("--back-to-back", type=int, default=500, help="starts (default 500)")
    parser.add_argument("--pairs", type=int, default=9, help="of others' execs (default 9)")
    given = parser.parse_args()
    console = Console()
    kept = held(console, given.isolated, given.back_to_back) if given.isolated else True
    kept &= others(console, given.pairs) if given.pairs else True
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
