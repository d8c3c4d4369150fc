"""What the terminal application costs: its first useful paint, and its processor time while much is shown.

    python -m tests.bench.tui [--pairs N] [--seconds S]

First paint: from the start of an interpreter to the first screen, of an empty Textual application and of ours
with a daemon that says 300 processes; in turns, medians. Processor time: ours with 2,000 processes and 200
assignments, of which each second all rates and ten processes are others. The daemon is a stand-in.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from procroute import protocol
from procroute.protocol import AdapterFacts, AdapterWay, Assignment, Carried, Running
from tests.daemon_stand_in import StandIn

FIRST_PAINT = 1.5  # × an empty Textual application
SHARE = 0.10  # of one core

_EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    def compose(self):
        yield Static("x")
    def on_mount(self):
        self.call_after_refresh(self.exit)
Empty().run(headless=True, size=(120, 36))
"""
_OURS = """
from procroute_tui.app import Tui
from procroute_tui.link import Link
from procroute_tui.settings import Settings
app = Tui(Link(), str, Settings(), None)
app.first_paint = app.exit
app.run(headless=True, size=(120, 36))
"""


def processes(count: int, assignments: int) -> list[Running]:
    every = max(count // max(assignments, 1), 1)
    return [
        Running(
            pid, pid, pid // 3, 1000, f"name{pid % 97}", [f"/usr/bin/name{pid % 97}", "--option"], "/x",
            f"unit{pid % 50}.service", 0 if pid % every or pid // every > assignments else pid // every,
        )
        for pid in range(1, count + 1)
    ]  # fmt: skip


def watching(count: int, assignments: int) -> protocol.Watching:
    made = [Assignment(n, "wan1", "wan1", "assign", 1000, 1000, "/x") for n in range(1, assignments + 1)]
    return protocol.Watching(assignments=made, processes=processes(count, assignments))


ADAPTERS = protocol.AdapterList(
    adapters=[
        AdapterFacts(name, n, "veth", "up", ["198.51.100.2/24"], {"ipv4": AdapterWay(True)})
        for n, name in enumerate(("wan1", "wan2", "lan0"), 2)
    ]
)


def answer(request: protocol.Request) -> Any:
    if isinstance(request, protocol.Watch):
        return watching(300, 20)
    return ADAPTERS if isinstance(request, protocol.Adapters) else protocol.Assignments(assignments=[])


def first_paints(pairs: int) -> tuple[float, float]:
    """Seconds: an empty application, and ours."""
    took: dict[str, list[float]] = {_EMPTY: [], _OURS: []}
    with tempfile.TemporaryDirectory() as folder, StandIn(Path(folder), answer) as daemon:
        env = {**os.environ, "PROCROUTE_SOCKET": daemon.path}
        for number in range(-1, pairs):
            for code in (_EMPTY, _OURS) if number % 2 else (_OURS, _EMPTY):
                began = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-c", code], env=env, check=True, capture_output=True, timeout=60
                )
                if number >= 0:
                    took[code].append(time.perf_counter() - began)
    return median(took[_EMPTY]), median(took[_OURS])


class Busy:
    """A daemon with 2,000 processes and 200 assignments of which each second much is new."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def told(self) -> AsyncIterator[Any]:
        yield watching(2000, 200)
        for second in range(int(self._seconds) + 5):
            total = second * 1_000_000
            carried = [Carried(id=n, received=total // n, sent=total // (n + 1)) for n in range(1, 201)]
            adapters = [Carried(name, received=total, sent=total // 3) for name in ("wan1", "wan2")]
            yield protocol.Traffic(at=float(second), adapters=adapters, assignments=carried)
            fresh = [Running(5000 + second * 10 + n, 1, 1, 1000, "fresh") for n in range(10)]
            yield protocol.Processes(at=float(second), now=fresh, gone=[p.pid - 10 for p in fresh])
            await asyncio.sleep(1)

    async def ask(self, request: protocol.Request) -> Any:
        return answer(request)

    async def change(self, request: protocol.Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return


def share(seconds: float, sort: str) -> float:
    """The part of one core that the application takes, beginning a little after its start."""
    from procroute_tui.app import Tui
    from procroute_tui.settings import Settings

    app, found = Tui(Busy(seconds), str, Settings(sort=sort, descending=sort == "in"), None), [0.0]

    async def measure(_: Any) -> None:
        await asyncio.sleep(2)
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        found[0] = (time.process_time() - used) / (time.monotonic() - began)
        app.exit()

    app.run(headless=True, size=(160, 48), auto_pilot=measure)
    return found[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tui", description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=11, help="starts of each (default 11)")
    parser.add_argument("--seconds", type=float, default=15, help="of processor time (default 15)")
    given, _ = parser.parse_known_args()
    console = Console()
    empty, ours = first_paints(given.pairs)
    ratio = ours / empty
    told = f"empty {empty * 1000:.0f} ms, ours {ours * 1000:.0f} ms"
    console.print(f"first paint: {told}: {ratio:.2f}, at most {FIRST_PAINT}")
    kept = ratio <= FIRST_PAINT
    for sort in ("route", "in"):
        used = share(given.seconds, sort)
        kept &= used <= SHARE
        console.print(
            f"2,000 processes, sorted by {sort}: {used * 100:.1f} % of a core, at most {SHARE * 100:.0f} %"
        )
    console.print("[green]kept[/]" if kept else "[yellow]not kept[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
