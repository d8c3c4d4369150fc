"""How long a daemon takes to start where much is assigned, and what it weighs.

    python -m tests.bench.adopting [--routes 100] [--assignments 10000]

As many living processes, each assigned by a request of its own, to one route after the other; then the daemon
is killed and started again. Progress goes to stderr. Of the daemon, what it computes is told beside what the
clock says: others on the machine change that less.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from procroute import protocol
from procroute.client import AsyncClient
from procroute.lab import Lab
from tests.netns.daemons import daemon
from tests.netns.running import ENVIRONMENT

LIMIT_SECONDS, LIMIT_MB = 3.0, 120
_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES = 20
"""So often progress is told."""


async def _assign(pids: list[int], routes: int) -> tuple[float, float]:
    """In the lab: assign each process; seconds for the first of each route, which opens it, and for the
    others."""
    began, opened = time.monotonic(), 0.0
    async with AsyncClient() as client:
        for number, pid in enumerate(pids):
            if number == routes:
                opened = time.monotonic() - began
            server = f"198.51.{100 + number % routes // 200}.{1 + number % routes % 200}"
            await client.ask(protocol.Assign(route=protocol.Wanted("wan1", dns=[server]), pids=[pid]))
            if (number + 1) % max(1, len(pids) // _TIMES) == 0:
                _tell(f"{number + 1} assigned after {time.monotonic() - began:.0f} s")
    return opened, time.monotonic() - began - opened


def fill(routes: int, count: int) -> None:
    """Start processes and have them assigned; they live until stdin ends."""
    _tell(f"starting {count} processes")
    sleep = "/bin/sleep"
    pids = [os.posix_spawn(sleep, [sleep, "86400"], {}) for _ in range(count)]
    opened, others = asyncio.run(_assign(pids, routes))
    print(
        f"{opened / routes * 1000:.1f} ms for each that opens a route, "
        f"{others / max(1, count - routes) * 1000:.1f} ms for each other",
        flush=True,
    )
    sys.stdin.read()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _tell(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def _weight(pid: int) -> float:
    """MB that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _computed(pid: int) -> float:
    """Seconds that a process has computed, in the kernel, too."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def main() -> None:
    """Fill, kill, start again, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=100)
    parser.add_argument("--assignments", type=int, default=10_000)
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 1 <= options.routes <= min(126, options.assignments):
        parser.error("--routes must be from 1 to 126, and no more than --assignments")
    if options.fill:
        fill(options.routes, options.assignments)
        return
    with Lab(main="both") as lab:
        counts = ["--routes", str(options.routes), "--assignments", str(options.assignments)]
        with daemon(lab) as first:
            before = _computed(first.process.command_pid())
            filling = lab.popen(
                [sys.executable, "-m", "tests.bench.adopting", "--fill", *counts],
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert filling.stdout
            took_each = filling.stdout.readline().strip() or first.log()
            computed = _computed(first.process.command_pid()) - before
            print(f"{options.assignments} assignments on {options.routes} routes: {took_each}")
            print(f"the daemon computes {computed / options.assignments * 1000:.1f} ms for each")
            print(f"before: {_weight(first.process.command_pid()):.0f} MB")
            first.kill()
        began = time.monotonic()
        with daemon(lab) as again:
            took = time.monotonic() - began
            pid = again.process.command_pid()
            print(
                f"restart and adopt: {took:.2f} s (limit {LIMIT_SECONDS}), of which it computes "
                f"{_computed(pid):.2f} s; {_weight(pid):.0f} MB (limit {LIMIT_MB})"
            )
            print(again.log().strip())
            filling.kill_session()
            again.kill()


if __name__ == "__main__":
    main()
