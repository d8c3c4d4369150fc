"""10,000 rules that mean nobody, and what programs that start cost the daemon among them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from procroute.lab import Lab
from tests.netns.daemons import Daemon
from tests.netns.ruled import rule, write
from tests.netns.running import procroute

MANY: Final = 10_000
STARTS: Final = 1000
_A_SECOND: Final = 500
_START = """
import os, sys, time
count, pause, due = int(sys.argv[1]), 1 / float(sys.argv[2]), time.monotonic()
for n in range(count):
    due += pause
    time.sleep(max(0, due - time.monotonic()))
    os.posix_spawn("/bin/sleep", ["sleep", "0.3"], {})
    while n > 20 and os.waitpid(-1, os.WNOHANG)[0]:
        pass
"""


def have_many(running: Daemon, condition: str) -> float:
    """Have so many rules before all others, a number in each condition; the seconds that this takes."""
    write(running.lab, "".join(rule(condition % n) for n in range(MANY)), "10-many.toml")
    began = time.monotonic()
    answer = procroute(running.lab, "reload", timeout=120)
    assert answer.returncode == 0, answer.stderr
    return time.monotonic() - began


def others_start(lab: Lab, count: int = STARTS) -> subprocess.Popen[str]:
    """Programs that no rule means start, 500 a second."""
    return lab.popen([sys.executable, "-S", "-c", _START, str(count), str(_A_SECOND)])


def computing_per_start(running: Daemon) -> float:
    """Seconds that the daemon computes for each of them; it has nothing else to do."""
    pid = running.process.command_pid()
    before, began = _computed(pid), time.monotonic()
    assert others_start(running.lab).wait(60) == 0
    each = (_computed(pid) - before) / STARTS
    print(f"{each * 1e6:.0f} µs for each of {STARTS / (time.monotonic() - began):.0f} starts a second")
    return each


def _computed(pid: int) -> float:
    """Seconds that a process has computed."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")
