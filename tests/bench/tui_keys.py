"""How long keys of the terminal application take by the clock, with 5,000 processes.

    python -m tests.bench.tui_keys [--times N] [--columns C] [--rows R]

From the key on a terminal's line to what it draws: the row below, one more letter of a filter, the other way
round, the next view. The daemon is a stand-in, which says each second what 200 assignments have carried.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

from rich.console import Console

from procroute import protocol
from procroute.protocol import Carried
from tests.bench.pty_screen import PtyScreen
from tests.bench.tui import ADAPTERS, watching
from tests.daemon_stand_in import Said, StandIn

LIMIT = 0.050  # seconds, median; p99 is told
_SECONDS = 600
_PROCESSES, _ASSIGNMENTS = 5000, 200


def answer(request: protocol.Request) -> Said:
    if isinstance(request, protocol.Watch):
        return watching(_PROCESSES, _ASSIGNMENTS)
    return ADAPTERS if isinstance(request, protocol.Adapters) else protocol.Assignments(assignments=[])


def _traffic(second: int) -> protocol.Traffic:
    total = second * 1_000_000
    carried = [Carried(id=n, received=total // n, sent=total // (n + 1)) for n in range(1, _ASSIGNMENTS + 1)]
    return protocol.Traffic(at=float(second), adapters=[Carried("wan1", received=total)], assignments=carried)


def measure(screen: PtyScreen, times: int) -> dict[str, list[float]]:
    """Seconds that each kind of key took."""
    took: dict[str, list[float]] = {}

    def press(what: str, keys: str, text: str, *, counts: bool = True) -> None:
        screen.rest(0.12)
        seconds = screen.until(keys, text)
        if counts:
            took.setdefault(what, []).append(seconds)

    took["the first key"] = [screen.until("j", "▌")]
    for number in range(times):
        press("row below", "j", "▌")
        if number % 4 == 0:
            press("other way round", "i", "▼")
            press("back again", "i", "▲", counts=False)
            for view in ("tree", "by unit", "list"):
                press("next view", "t", f" {view} ")
            press("open the filter", "/", "name, user, unit")  # the cursor is on the first letter
            for letter, found in (("n", "“n”"), ("4", "“n4”")):
                press("letter of a filter", letter, found)
            press("leave the filter", "\x1b", "procroute", counts=False)
    return took


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.tui_keys", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--times", type=int, default=60, help="of each key, more or less (default 60)")
    parser.add_argument("--columns", type=int, default=160)
    parser.add_argument("--rows", type=int, default=48)
    given, _ = parser.parse_known_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory() as folder,
        StandIn(Path(folder), answer, every=1.0, events=_traffic) as daemon,
        PtyScreen(given.columns, given.rows) as screen,
    ):
        env = os.environ | {
            "PROCROUTE_SOCKET": daemon.path,
            "XDG_CONFIG_HOME": folder,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        process = subprocess.Popen([sys.executable, "-m", "procroute", "tui"], env=env, **screen.streams)
        try:
            screen.until("", f"of {_PROCESSES}", 60)
            screen.rest(1.5)
            took = measure(screen, given.times)
        finally:
            process.terminate()
            while process.poll() is None:
                screen.rest(0.1)
    kept = True
    for what, seconds in took.items():
        highest = quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
        kept &= median(seconds) <= LIMIT
        console.print(
            f"{what}: median {median(seconds) * 1000:.0f} ms, p99 {highest * 1000:.0f} ms (of {len(seconds)})"
        )
    console.print(
        f"{'[green]kept[/]' if kept else '[yellow]not kept[/]'}: at most {LIMIT * 1000:.0f} ms, median"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
