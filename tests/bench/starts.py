"""Starts and migrations, timed, for what measures the hold (hold.py, held_by_daemon.py)."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from procroute.lab import Lab
from tests.netns.holding import PLACE, compiled

APART: Final = 1.0
"""Seconds before each: none has another's RCU grace period for nothing."""
HELD: Final = f"{PLACE}/held"
PLAIN: Final = f"{PLACE}/plain"
EXECS: Final = f"{PLACE}/execs"
_LIMIT_MS: Final = 2.0
"""What is promised: milliseconds beyond a migration."""
_BARE, _PLAIN, _MOVED, _HELD = (
    "a bare migration",
    "exec, not held",
    "exec of who moves itself",
    "exec, held and placed",
)


def programs(lab: Lab) -> None:
    """Put what is executed into the lab."""
    source = Path(__file__).with_name("execs.c")
    with tempfile.TemporaryDirectory() as folder:
        compiled(source, Path(folder, "execs"))
        compiled(source, Path(folder, "held"), "-DNOTHING", "-static", "-nostdlib")
        shutil.copy(Path(folder, "held"), Path(folder, "plain"))
        for name in os.listdir(folder):
            shutil.copy(Path(folder, name), lab.path(f"{PLACE}/{name}"))


def execute(
    lab: Lab, program: str, count: int = 1, pause: float = 0, moved_to: str | None = None
) -> list[float]:
    """Milliseconds of so many starts, with so many seconds before each.

    moved_to: a cgroup that each moves to by itself before it executes: what a migration costs in a start.

    The pause is in the lab: to bring something there moves a process, too.
    """
    numbers = [str(count), str(round(1000 * pause))]
    how = ["timed", *numbers] if moved_to is None else ["moved", *numbers, f"{moved_to}/cgroup.procs"]
    words = [f"{PLACE}/starts", *how, program]
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


def isolated(lab: Lab, between: list[Path], moved_to: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds in rounds of one each: of a migration between two cgroups, and of starts.

    moved_to: the cgroup, as the lab names it, that one of them moves to by itself.
    """
    rows: dict[str, list[float]] = {name: [] for name in (_BARE, _PLAIN, _MOVED, _HELD)}
    for _ in range(rounds):
        rows[_BARE] += migrate(between, 1, APART)
        rows[_PLAIN] += execute(lab, PLAIN, pause=APART)
        rows[_MOVED] += execute(lab, PLAIN, pause=APART, moved_to=moved_to)
        rows[_HELD] += execute(lab, HELD, pause=APART)
    return rows


def back_to_back(lab: Lab, between: list[Path], count: int) -> dict[str, list[float]]:
    """The same without a pause."""
    return {
        _BARE: migrate(between, count, 0),
        _PLAIN: execute(lab, PLAIN, count),
        _HELD: execute(lab, HELD, count),
    }


def beyond(rows: dict[str, list[float]], migrations: list[float]) -> tuple[float, list[float]]:
    """What the hold costs beyond a migration, in ms: by the medians against starts that move themselves, and
    of each start all but its own migration."""
    cost = statistics.median(rows[_HELD]) - statistics.median(rows[_MOVED])
    return cost, [whole - move for whole, move in zip(rows[_HELD], migrations, strict=True)]


def judge(console: Console, cost: float) -> bool:
    """Print what the hold costs; whether it is within what is promised."""
    console.print(f"the hold beyond a start that moves itself: {cost:.2f} ms (promised: {_LIMIT_MS})\n")
    return cost <= _LIMIT_MS


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
