"""What health checks take of the CPU's time: `python -m tests.bench.checks [NUMBER [INTERVAL [SECONDS]]]`.

So many checks, of all kinds and both families, by two adapters, each every INTERVAL seconds; all are
answered.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from procroute.lab import Lab
from tests.netns.checking import checks, kind_of_check, pages, states
from tests.netns.daemons import daemon
from tests.netns.running import until
from tests.netns.test_reload import configure

_SERVERS = {4: "192.0.2.{}", 6: "2001:db8:ffff::{:x}"}
_KINDS = ("ping", "tcp", "dns", "http")


def _spent(pid: int) -> float:
    """Seconds of the CPU's time that a process has had."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _up(lab: Lab) -> int:
    """How many checks are answered."""
    return sum(state == "up" for name in ("wan1", "wan2") for state in states(lab, name).values())


def measured(number: int, interval: float, seconds: float) -> float:
    """The part of one core, in percent."""
    each = []
    for n in range(number):
        family = (4, 6)[n // len(_KINDS) % 2]
        each.append(kind_of_check(_KINDS[n % len(_KINDS)], family, _SERVERS[family].format(n % 250 + 1)))
    with Lab(main="both") as lab, pages(lab.wan1, lab.wan2):
        of_both = {"wan1": each[::2], "wan2": each[1::2]}
        configure(lab, "".join(checks(name, *some, interval=interval) for name, some in of_both.items()))
        with daemon(lab) as running:
            until(lambda: _up(lab) == number, interval + 20, "each check")
            pid = running.process.command_pid()
            before, began = _spent(pid), time.monotonic()
            time.sleep(seconds)
            return 100 * (_spent(pid) - before) / (time.monotonic() - began)


if __name__ == "__main__":
    given = dict(enumerate(map(float, sys.argv[1:])))
    number, interval, seconds = int(given.get(0, 200)), given.get(1, 10), given.get(2, 30)
    cost = measured(number, interval, seconds)
    print(f"{number} checks, each every {interval:g} s: {cost:.2f} % of a core")
