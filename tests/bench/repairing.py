"""How soon what somebody broke is as it should be again, with many routes open.

    python -m tests.bench.repairing [--routes 100] [--rounds 10]

Prints, for each way to break it, the median and the most of what the daemon tells (from the news on, as in
its log), and of what passed from the end of the command that broke it until the log said so.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from procroute.lab import Lab
from tests.netns.daemons import Daemon, daemon
from tests.netns.running import ENVIRONMENT

LIMIT_MS: Final = 100.0
_SECONDS: Final = 20.0
_REPAIRED: Final = re.compile(r"repaired in (\d+) ms")
_PAUSE: Final = 0.3
"""So many seconds between two rounds: what the last one stirred is over."""


def rules(lab: Lab) -> str:
    """Commands for `ip -batch` that delete all rules of ours, each by its words."""
    lines = []
    for family in ("-4", "-6"):
        for line in lab.sh(f"ip {family} -N rule show proto 112").splitlines():
            preference, _, words = line.partition(":")
            del words
            lines.append(f"{family} rule del preference {preference} protocol 112")
    return "\n".join(lines)


def ways(lab: Lab) -> dict[str, Callable[[], object]]:
    """Each way to break it, as quickly as can be."""
    batch = rules(lab)
    table = re.search(r"lookup (\d+)", lab.sh("ip -N rule show proto 112"))
    assert table
    flush = f"-4 route flush table {table[1]}\n-6 route flush table {table[1]}"
    one = batch.splitlines()[0]
    return {
        "all rules deleted": lambda: lab.sh(f"ip -batch - <<'END'\n{batch}\nEND"),
        "one rule deleted": lambda: lab.sh(f"ip {one}"),
        "ruleset flushed": lambda: lab.sh("nft flush ruleset"),
        "a table flushed": lambda: lab.sh(f"ip -batch - <<'END'\n{flush}\nEND"),
    }


def repaired(running: Daemon, before: int) -> float:
    """Wait for the repair; the milliseconds that the daemon tells."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if found := _REPAIRED.search(running.log()[before:]):
            return float(found[1])
        time.sleep(0.002)
    raise SystemExit(f"not repaired: {running.log()[before:]}")


def main() -> None:
    """Fill, break, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with Lab(main="both") as lab, daemon(lab) as running:
        counts = [f"--routes={options.routes}", f"--assignments={options.routes}"]
        filling = lab.popen(
            [sys.executable, "-m", "tests.bench.adopting", "--fill", *counts],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert filling.stdout
        print(f"{options.routes} routes: {filling.stdout.readline().strip() or running.log()}", flush=True)
        time.sleep(2)
        for name, break_it in ways(lab).items():
            told, passed = [], []
            for _ in range(options.rounds):
                before = len(running.log())
                break_it()
                done = time.monotonic()
                told.append(repaired(running, before))
                passed.append((time.monotonic() - done) * 1000)
                time.sleep(_PAUSE)
            print(
                f"{name}: told {statistics.median(told):.0f} ms, most {max(told):.0f}; "
                f"passed {statistics.median(passed):.0f} ms, most {max(passed):.0f} (limit {LIMIT_MS:.0f}); "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        filling.communicate()


if __name__ == "__main__":
    main()
