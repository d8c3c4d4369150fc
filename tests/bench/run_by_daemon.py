"""What `procroute run -- true` by the daemon costs, against an empty interpreter (PERF-04).

    python -m tests.bench.run_by_daemon [--pairs N]

All run in one lab, in turns, each with its bytecode at hand as an installed package has it; ratios are
medians over the rounds. *moving* is a process that puts itself into a fresh cgroup, less an interpreter that
does not: the kernel's part (an RCU grace period), reported apart. As root `run` also gives CMD its own
resolv.conf, in a mount namespace, which it does for nobody else; `--dns system` leaves that out, and is what
users have.

"pip's script" is what the pip of this environment has made; older ones (before 2025) import re in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from procroute.lab import Lab
from procroute.places import SOCKET
from tests.bench.startup import _TIMER

LIMIT: Final = 2.5  # PERF-04
_PYCS: Final = "/tmp/bytecode"
# In the lab: root's own, so that nothing of the repository changes.
_ENVIRONMENT: Final = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": _PYCS, "SUDO_USER": "root"}
_SCRIPT: Final = """#!{python}
import sys
from procroute.__main__ import main
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit(main())
"""
_MOVE: Final = """
import os
cgroup = f"/sys/fs/cgroup/bench-{os.getpid()}"
os.mkdir(cgroup)
open(cgroup + "/cgroup.procs", "w").write("0")
"""
_MOVE_NOT: Final = _MOVE.replace('open(cgroup + "/cgroup.procs", "w").write("0")', "")

EMPTY: Final = [sys.executable, "-c", "pass"]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.run_by_daemon", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--pairs", type=int, default=25, help="rounds (default 25)")
    given, _ = parser.parse_known_args()
    console = Console()

    with Lab() as lab, console.status("starting, again and again"):
        script = lab.path("/tmp/procroute")
        script.write_text(_SCRIPT.format(python=sys.executable), encoding="utf-8")
        script.chmod(0o755)
        daemon = lab.popen([sys.executable, "-m", "procroute", "daemon"], env=_ENVIRONMENT)
        deadline = time.monotonic() + 20
        while not lab.path(SOCKET).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        words = ["run", "--via", "wan1"]
        commands = {
            "empty interpreter": EMPTY,
            "pip's script": [_pips(), *words, "--dns", "system", "--", "true"],
            "a newer pip's or uv's": ["/tmp/procroute", *words, "--dns", "system", "--", "true"],
            "pip's script, root's look-ups": [_pips(), *words, "--", "true"],
            "a newer pip's, root's look-ups": ["/tmp/procroute", *words, "--", "true"],
            "moving": [sys.executable, "-c", _MOVE],
            "not moving": [sys.executable, "-c", _MOVE_NOT],
        }
        # One that stays keeps the route, so that none is made or removed meanwhile.
        for dns in (["--dns", "system"], []):
            lab.popen(["/tmp/procroute", *words, *dns, "--", "sleep", "600"], env=_ENVIRONMENT)
        time.sleep(1)
        timer = [sys.executable, "-c", _TIMER, str(given.pairs), json.dumps(list(commands.values()))]
        done = lab.run(timer, timeout=300, env=_ENVIRONMENT)
        os.kill(daemon.command_pid(), 15)
        daemon.wait(20)
    if done.returncode:
        console.print(Text(done.stderr.strip(), "red"))
        return 1
    rounds = [
        dict(zip(commands, [seconds * 1000 for seconds in times], strict=True))
        for times in json.loads(done.stdout)
    ]
    moving = median(times["moving"] - times["not moving"] for times in rounds)
    table = Table(title=f"run -- true by the daemon, {len(rounds)} rounds", title_justify="left", box=None)
    for heading in ("", "ms", "ratio", "ratio but for moving"):
        table.add_column(heading, justify="right" if heading else "left")
    ratios = {}
    for name in list(commands)[:5]:
        ratios[name] = median((t[name] - moving) / t["empty interpreter"] for t in rounds)
        raw = median(t[name] / t["empty interpreter"] for t in rounds)
        apart = "" if name == "empty interpreter" else f"{ratios[name]:.2f}"
        table.add_row(name, f"{median(t[name] for t in rounds):.1f}", f"{raw:.2f}", apart)
    table.add_row("moving a process", f"{moving:.1f}", "", "", style="dim")
    console.print(table)
    found = ratios["pip's script"]
    verdict = "[green]kept[/]" if found <= LIMIT else "[yellow]not kept[/]"
    console.print(f"ratio {found:.2f}, promised at most {LIMIT}: {verdict}")
    return 0


def _pips() -> str:
    """The console script as this environment's pip has made it."""
    return str(Path(sys.executable).parent / "procroute")


if __name__ == "__main__":
    sys.exit(main())
