"""What the terminal application and its daemon take together while they show a large machine.

    python -m tests.bench.tui_whole [--processes N] [--assignments N] [--seconds S] [--profile FILE]

In a lab: a real daemon, so many processes that sleep, of which the assigned ones send a datagram a second,
some that come and go, and the application in a terminal of 160x48, which is drawn once a second. Told is the
share of one core that each computes, in the kernel, too. --profile: the application's, for pstats.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from procroute import protocol
from procroute.client import AsyncClient
from procroute.lab import Lab
from tests.bench.pty_screen import PtyScreen
from tests.netns.daemons import daemon
from tests.netns.running import ENVIRONMENT, PROCROUTE
from tests.netns.traffic import SERVER

LIMIT: Final = 0.10
"""Of one core, both together."""
OFTEN: Final = 0.9
"""Pictures a second at least: it is once a second that the daemon says what was carried."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_FRESH: Final = 10
"""So many processes come each second, and go."""
_SETTLE: Final = 8


def live(processes: int, assignments: int) -> None:
    """In the lab: be these processes, assigned as they are to be; until stdin ends."""
    pids = [_child(chatty=n < assignments, number=n) for n in range(processes)]
    asyncio.run(_assign(pids[:assignments]))
    print("ready", flush=True)
    os.set_blocking(0, False)
    while not _ended():
        fresh = [os.posix_spawn("/bin/sleep", ["sleep", "0.9"], {}) for _ in range(_FRESH)]
        time.sleep(1)
        for pid in fresh:
            os.waitpid(pid, 0)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _child(*, chatty: bool, number: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if chatty:
        time.sleep(5 + number / 200)  # as it is assigned, and not all at once
        family = (socket.AF_INET, socket.AF_INET6)[number % 2]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            while True:
                sock.sendto(bytes(100 + number), (SERVER[6 if number % 2 else 4], 9))
                time.sleep(1)
    while True:
        signal.pause()


async def _assign(pids: list[int]) -> None:
    async with AsyncClient(timeout=120) as client:
        for number, pid in enumerate(pids):
            via = f"wan{1 + number % 2}"
            await client.ask(protocol.Assign(route=protocol.Wanted(via), pids=[pid]))


def _ended() -> bool:
    try:
        return not os.read(0, 1)
    except BlockingIOError:
        return False


def computed(pid: int) -> float:
    """Seconds that a process has computed, in the kernel, too."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.tui_whole", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--processes", type=int, default=2000)
    parser.add_argument("--assignments", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--profile", default="")
    parser.add_argument("--live", action="store_true", help=argparse.SUPPRESS)
    given, _ = parser.parse_known_args()
    if given.live:
        live(given.processes, given.assignments)
        return 0
    console = Console()
    counts = ["--processes", str(given.processes), "--assignments", str(given.assignments)]
    pipe = subprocess.PIPE
    with Lab(main="both") as lab, daemon(lab) as running, PtyScreen(160, 48) as screen:
        words = [sys.executable, "-m", "tests.bench.tui_whole", "--live", *counts]
        people = lab.popen(words, env=ENVIRONMENT, stdin=pipe, stdout=pipe)
        tui = None
        try:
            assert people.stdout
            assert people.stdout.readline() == "ready\n", running.log()
            profiled = ["-m", "cProfile", "-o", given.profile] if given.profile else []
            env = ENVIRONMENT | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "HOME": "/run"}
            tui = lab.popen([PROCROUTE[0], *profiled, *PROCROUTE[1:], "tui"], env=env, **screen.streams)
            screen.until("", f"{given.assignments} of ", 60)
            screen.rest(_SETTLE)
            pids = {"daemon": running.process.command_pid(), "application": tui.command_pid()}
            before, began = {n: computed(p) for n, p in pids.items()}, time.monotonic()
            drawn, pictures = screen.drawn, screen.pictures
            screen.rest(given.seconds)
            took = time.monotonic() - began
            often = (screen.pictures - pictures) / took
            shares = {name: (computed(pid) - before[name]) / took for name, pid in pids.items()}
            console.print(
                f"{given.processes} processes, {given.assignments} assignments: "
                + ", ".join(f"{name} {share * 100:.1f} %" for name, share in shares.items())
                + f" of a core; {often:.2f} pictures a second, "
                + f"{(screen.drawn - drawn) / took / 1000:.1f} kB/s"
            )
            kept = sum(shares.values()) <= LIMIT and often >= OFTEN
            color = "[green]kept" if kept else "[yellow]not kept"
            both = sum(shares.values()) * 100
            console.print(f"together {both:.1f} %: {color}[/], at most {LIMIT * 100:.0f} % and once a second")
            screen.type("q")
            screen.rest(1)
        finally:
            for process in filter(None, (tui, people)):
                process.kill_session()
                process.wait(30)
    return 0


if __name__ == "__main__":
    sys.exit(main())
