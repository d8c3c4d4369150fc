"""What the hold costs those who are held, beside a bare cgroup migration, and what it costs everybody else.

    python -m tests.bench.hold [--isolated N] [--back-to-back N] [--pairs N]

Held: from before fork(2) to the end of a program that ends at once; the daemon's side is a stand-in that
moves the process and answers, then the daemon itself with a rule. Its cost is that against the same program
not held, in rounds of one each, at least a second apart: so none has another's RCU grace period for nothing.

Others: a program on the same file system that no rule names, with the holder and without, in pairs.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from rich.console import Console
from rich.table import Table

from tests.bench.held_by_daemon import by_daemon
from tests.bench.starts import (
    APART,
    EXECS,
    HELD,
    PLAIN,
    back_to_back,
    beyond,
    isolated,
    judge,
    programs,
    show,
)
from tests.netns.holding import holding, place_with_route, rule

_EACH = 1000
"""Execs in one measurement of what others pay."""
_OTHERS = 1.01
"""What is promised: the ratio of instructions for others."""


def held(console: Console, rounds: int, count: int) -> bool:
    """What is held pays; whether that is within what is promised."""
    with place_with_route() as (lab, cgroup):
        programs(lab)
        target = lab.path(f"/sys/fs/cgroup{cgroup}")
        beside = target.parent / "bench.scope"
        beside.mkdir()
        try:
            with holding(lab, cgroup) as daemon:
                daemon.hold(rule(HELD))
                rows = isolated(lab, [target, beside], f"/sys/fs/cgroup{cgroup}", rounds)
                placing = [1000 * one["placing"] for one in daemon.heard("Exec")]
                cost, apart = beyond(rows, placing)
                rows |= {"  the migration": placing, "all but the migration": apart}
                show(console, f"a stand-in, at least {APART:.0f} s apart", rows)
                kept = judge(console, cost)
                rows = back_to_back(lab, [target, beside], count)
                show(console, "a stand-in, back to back", rows)
        finally:
            beside.rmdir()
    return kept


def others(console: Console, pairs: int) -> bool:
    """What everybody else pays; whether that is within what is promised, where it can be counted."""
    ratios: dict[str, list[float]] = {"without a holder, again": [], "with the holder": []}
    with place_with_route() as (lab, cgroup):
        programs(lab)

        def measured() -> tuple[str, float]:
            out = lab.run([EXECS, str(_EACH), PLAIN], timeout=120, check=True).stdout.split()
            return out[0], float(out[1])

        measure = ""
        for _ in range(pairs):
            measure, first = measured()
            ratios["without a holder, again"].append(measured()[1] / first)
            with holding(lab, cgroup) as daemon:
                daemon.hold(rule(HELD))
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
    parser.add_argument("--isolated", type=int, default=30, help="rounds of four seconds (default 30)")
    parser.add_argument("--back-to-back", type=int, default=500, help="starts (default 500)")
    parser.add_argument("--pairs", type=int, default=9, help="of others' execs (default 9)")
    given = parser.parse_args()
    console = Console()
    kept = True
    if given.isolated:
        kept = held(console, given.isolated, given.back_to_back)
        kept &= by_daemon(console, given.isolated, given.back_to_back)
    kept &= others(console, given.pairs) if given.pairs else True
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
