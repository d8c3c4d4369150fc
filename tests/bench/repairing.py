"""How soon what somebody broke is as it should be again, with many routes open.

    python -m tests.bench.repairing [--routes 100] [--rounds 10]

Prints, for each way to break it, the median and the most of what the daemon tells (from the news on, as in
its log), and of what its keeper computes meanwhile, which others on the machine change less. Without BPF with
PROCROUTE_NO_BPF=1; else our nft table has nothing to do, and flushing it breaks nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from procroute.kernel.bpf.support import switched_off
from procroute.lab import Lab
from tests.netns.daemons import Daemon, daemon
from tests.netns.running import ENVIRONMENT

LIMIT_MS: Final = 100.0
_SECONDS: Final = 20.0
_REPAIRED: Final = re.compile(r"repaired in (\d+) ms")
_PAUSE: Final = 0.3
"""So many seconds between two rounds: what the last one stirred is over."""


def commands(lab: Lab, family: str) -> str:
    """For `ip -batch`: delete all rules of ours."""
    shown = json.loads(lab.sh(f"ip {family} -N -j rule show"))
    return "".join(f"rule del preference {r['priority']}\n" for r in shown if r.get("protocol") == "112")


def ways(lab: Lab) -> Mapping[str, Callable[[], object]]:
    """Each way to break it, as quickly as can be."""
    four, six = commands(lab, "-4"), commands(lab, "-6")
    table = re.search(r"lookup (73\d\d) proto 112", lab.sh("ip -N rule show"))
    assert table

    def at_once(four: str, six: str) -> str:
        return "".join(
            f"ip {family} -force -batch - <<'END' 2>/dev/null || true\n{batch}END\n"
            for family, batch in (("-4", four), ("-6", six))
        )

    flush = f"route flush table {table[1]}\n"
    return {
        "all rules deleted": lambda: lab.sh(at_once(four, six)),
        "one rule deleted": lambda: lab.sh(f"ip {four.splitlines()[5]}"),
        "a table flushed": lambda: lab.sh(at_once(flush, flush)),
    } | ({"ruleset flushed": lambda: lab.sh("nft flush ruleset")} if switched_off() else {})


def repaired(running: Daemon, before: int) -> float:
    """Wait for the repair; the milliseconds that the daemon tells."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if found := _REPAIRED.search(running.log()[before:]):
            return float(found[1])
        time.sleep(0.002)
    raise SystemExit(f"not repaired: {running.log()[before:]}")


def keeper_of(pid: int) -> Path:
    """The keeper's thread: the one that goes before others (daemon/keeper.py)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return next(t for t in tasks if int((t / "stat").read_text().rpartition(")")[2].split()[16]) < 0)


def computes(thread: Path) -> float:
    """Milliseconds that a thread has computed, in the kernel, too (proc(5), schedstat)."""
    return int((thread / "schedstat").read_text().split()[0]) / 1e6


def measure(lab: Lab, running: Daemon, rounds: int) -> None:
    """Break it and print."""
    keeper = keeper_of(running.process.command_pid())
    for name, break_it in ways(lab).items():
        told, computed = [], []
        for _ in range(rounds):
            time.sleep(_PAUSE)
            before, began = len(running.log()), computes(keeper)
            break_it()
            told.append(repaired(running, before))
            computed.append(computes(keeper) - began)
        print(
            f"{name}: {statistics.median(told):.0f} ms, most {max(told):.0f} (limit {LIMIT_MS:.0f}); "
            f"computes {statistics.median(computed):.0f} ms, most {max(computed):.0f}; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def main() -> None:
    """Fill, break, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with Lab(main="both") as lab:
        words = [sys.executable, "-m", "tests.bench.many_routes", "wan1", str(options.routes)]
        filling = lab.popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE)
        assert filling.stdout
        filling.stdout.readline()
        with daemon(lab) as running:
            time.sleep(2)
            measure(lab, running, options.rounds)


if __name__ == "__main__":
    main()
