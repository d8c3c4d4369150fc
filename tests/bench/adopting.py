"""How long a daemon takes to start where much is assigned, and what it weighs: python -m tests.bench.adopting

--routes 100 --assignments 10000     as many living processes, each assigned by a request of its own
"""

from __future__ import annotations

import argparse
import asyncio
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


async def _fill(pids: list[int], routes: int) -> None:
    """In the lab: assign each process, to one route after the other."""
    async with AsyncClient() as client:
        for number, pid in enumerate(pids):
            server = f"198.51.{100 + number % routes // 200}.{1 + number % routes % 200}"
            await client.ask(protocol.Assign(route=protocol.Wanted("wan1", dns=[server]), pids=[pid]))


def fill(routes: int, count: int) -> None:
    """Start processes and have them assigned; they live until stdin ends."""
    living = [subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL) for _ in range(count)]
    began = time.monotonic()
    asyncio.run(_fill([each.pid for each in living], routes))
    print(f"{(time.monotonic() - began) / count * 1000:.2f} ms a request", flush=True)
    sys.stdin.read()
    for each in living:
        each.kill()


def _weight(pid: int) -> float:
    """MB that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    """Fill, kill, start again, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=100)
    parser.add_argument("--assignments", type=int, default=10_000)
    parser.add_argument("--fill", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        fill(options.routes, options.assignments)
        return
    with Lab(main="both") as lab:
        counts = ["--routes", str(options.routes), "--assignments", str(options.assignments)]
        with daemon(lab) as first:
            filling = lab.popen(
                [sys.executable, "-m", "tests.bench.adopting", "--fill", *counts],
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert filling.stdout
            took_each = filling.stdout.readline().strip() or first.log()
            print(f"{options.assignments} assignments on {options.routes} routes: {took_each}")
            print(f"before: {_weight(first.process.command_pid()):.0f} MB")
            first.kill()
        began = time.monotonic()
        with daemon(lab) as again:
            took = time.monotonic() - began
            weight = _weight(again.process.command_pid())
            print(
                f"restart and adopt: {took:.2f} s (limit {LIMIT_SECONDS}); {weight:.0f} MB (limit {LIMIT_MB})"
            )
            print(again.log().strip())
            filling.kill_session()
            again.kill()


if __name__ == "__main__":
    main()
