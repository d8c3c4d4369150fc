"""What `procroute run -- true` by the daemon costs, against an empty interpreter (PERF-04).

    python -m tests.bench.run_by_daemon [--pairs N]

All run in one lab, in turns, each with its bytecode at hand as an installed package has it; ratios are
medians over the rounds. *moving* is a process that puts itself into a fresh cgroup, less an interpreter that
does not: the kernel's part (an RCU grace period), reported apart; a pause before each, as one that follows
another one's has that grace period for nothing. As root `run` also gives CMD its own
resolv.conf, in a mount namespace, which it does for nobody else; `--dns system` leaves that out. At a
terminal a process is forked as well that waits for the end of CMD (cli/afterwards.py).

"pip's script" is what the pip of this environment has made; older ones (before 2025) import re in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from procroute.lab import Lab
from procroute.places import SOCKET
from tests.bench.startup import _TIMER
from tests.netns.daemons import ALICE, as_user, for_users, give_to_group
from tests.netns.running import ROOT

LIMIT: Final = 2.5  # PERF-04
_PAUSE: Final = "0.1"  # seconds
_PYCS: Final = "/tmp/bytecode"
# In the lab, so that nothing of the repository changes.
_ENVIRONMENT: Final = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": _PYCS, "SUDO_USER": "root"} | {
    "PYTHONPATH": str(ROOT)
}
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

_SHEBANG: Final = re.compile("^#!.*")
_WORDS: Final = ("run", "--via", "wan1")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.run_by_daemon", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--pairs", type=int, default=25, help="rounds (default 25)")
    given, _ = parser.parse_known_args()
    console = Console()

    with Lab() as lab, for_users(lab) as python, console.status("starting, again and again"):
        quiet = subprocess.DEVNULL
        daemon = lab.popen([sys.executable, "-m", "procroute", "daemon"], env=_ENVIRONMENT, stderr=quiet)
        deadline = time.monotonic() + 20
        while not lab.path(SOCKET).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        give_to_group(lab)
        roots, users = _commands(lab, sys.executable, "/tmp/root's"), _commands(lab, python, "/tmp/user's")
        # One that stays keeps the route, so that none is made or removed meanwhile.
        for dns in (["--dns", "system"], []):
            words = ["/tmp/root's-newer", *_WORDS, *dns, "--", "sleep", "900"]
            lab.popen(words, env=_ENVIRONMENT)
        time.sleep(1)
        roots |= {
            "pip's script, root's look-ups": [_pips(), *_WORDS, "--", "true"],
            "a newer pip's, root's look-ups": ["/tmp/root's-newer", *_WORDS, "--", "true"],
            "moving": [sys.executable, "-c", _MOVE],
            "not moving": [sys.executable, "-c", _MOVE_NOT],
        }
        lab.sh(f"mkdir {_PYCS}-user && chown {ALICE} {_PYCS}-user")
        user = [*as_user(ALICE), "env", f"PYTHONPYCACHEPREFIX={_PYCS}-user", python]
        found = {
            "root": _rounds(lab, [sys.executable], roots, given.pairs),
            "a user of the group": _rounds(lab, user, users, given.pairs),
            "the same at a terminal": _rounds(lab, user, users, given.pairs, terminal=True),
        }
        os.kill(daemon.command_pid(), 15)
        daemon.wait(20)
    moving = median(times["moving"] - times["not moving"] for times in found["root"])
    table = Table(title=f"run -- true by the daemon, {given.pairs} rounds", title_justify="left", box=None)
    for heading in ("", "ms", "ratio", "ratio but for moving"):
        table.add_column(heading, justify="right" if heading else "left")
    kept = True
    for who, rounds in found.items():
        table.add_row(who, style="bold")
        for name in [name for name in rounds[0] if "moving" not in name]:
            ratio = median((t[name] - moving) / t["empty interpreter"] for t in rounds)
            raw = median(t[name] / t["empty interpreter"] for t in rounds)
            apart = "" if name == "empty interpreter" else f"{ratio:.2f}"
            table.add_row(f"  {name}", f"{median(t[name] for t in rounds):.1f}", f"{raw:.2f}", apart)
            kept = kept and (name != "pip's script" or ratio <= LIMIT)
    table.add_row("moving a process", f"{moving:.1f}", "", "", style="dim")
    console.print(table)
    verdict = "[green]kept[/]" if kept else "[yellow]not kept[/]"
    console.print(f"pip's script, moving apart: promised at most {LIMIT} for each: {verdict}")
    return 0


def _commands(lab: Lab, python: str, place: str) -> dict[str, list[str]]:
    """By an interpreter, with scripts that are put there; the first is what others are compared with."""
    pips = _SHEBANG.sub(f"#!{python}", Path(_pips()).read_text(encoding="utf-8"))
    for name, text in (("pips", pips), ("newer", _SCRIPT.format(python=python))):
        script = lab.path(f"{place}-{name}")
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
    words = [*_WORDS, "--dns", "system", "--", "true"]
    return {
        "empty interpreter": [python, "-c", "pass"],
        "pip's script": [f"{place}-pips", *words],
        "a newer pip's or uv's": [f"{place}-newer", *words],
    }


def _rounds(
    lab: Lab, python: list[str], commands: dict[str, list[str]], pairs: int, *, terminal: bool = False
) -> list[dict[str, float]]:
    """How long each command took in each round, in ms. python: the words before its arguments, for who
    starts them; terminal: stderr is one."""
    timer = [*python, "-c", _TIMER, str(pairs), json.dumps(list(commands.values())), _PAUSE]
    master, slave = os.openpty()
    where = slave if terminal else subprocess.PIPE
    with lab.popen(timer, env=_ENVIRONMENT, stdout=subprocess.PIPE, stderr=where) as process:
        os.close(slave)
        said, wrong = process.communicate(timeout=600)
        if process.returncode:
            raise SystemExit(wrong or f"a command has failed, with status {process.returncode}")
    os.close(master)
    return [
        dict(zip(commands, [seconds * 1000 for seconds in times], strict=True)) for times in json.loads(said)
    ]


def _pips() -> str:
    """The console script as this environment's pip has made it."""
    return str(Path(sys.executable).parent / "procroute")


if __name__ == "__main__":
    sys.exit(main())
