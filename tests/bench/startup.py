"""What starting costs: `procroute run --via wan1 -- true` against `python -c 'from pyroute2 import IPRoute'`.

    make bench            or: python -m tests.bench.startup [--pairs N]

Both run in one lab, in turns; the ratio is the median over the pairs. The split: *interpreter* is an empty
program; *imports* is one that imports what `run` imported, less that; *kernel* is the rest: looking at the
machine, applying, placing, starting, cleaning up.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from procroute.lab import Lab

LIMIT = 1.6  # PERF-01

RUN = [sys.executable, "-m", "procroute", "run", "--via", "wan1", "--", "true"]
BESIDE = [sys.executable, "-c", "from pyroute2 import IPRoute"]
EMPTY = [sys.executable, "-c", "pass"]

_IMPORTS = """
for name in {names!r}.split():
    __import__(name)
"""

# Runs in the lab, since entering its namespaces is not to be timed. argv: how often, the commands as JSON.
_TIMER = """
import json, os, sys, time
commands = json.loads(sys.argv[2])
quiet = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
rounds = []
for number in range(-2, int(sys.argv[1])):
    times = {}
    turn = number % len(commands)
    for index in [*range(turn, len(commands)), *range(turn)]:
        time.sleep(float(sys.argv[3]))
        begin = time.perf_counter()
        pid = os.posix_spawn(commands[index][0], commands[index], os.environ, file_actions=quiet)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        times[index] = time.perf_counter() - begin
        if status:
            sys.exit(f"command {index} exited with {status}")
    if number >= 0:  # the first two rounds warm the caches
        rounds.append([times[index] for index in range(len(commands))])
print(json.dumps(rounds))
"""


def imports_of_run(lab: Lab) -> list[str]:
    """Every module of procroute that `run` imports, in order (python -X importtime); they import the rest."""
    done = lab.run([RUN[0], "-X", "importtime", *RUN[1:]], check=True)
    names = re.findall(r"^import time:.*\| +(procroute[\w.]*)$", done.stderr, re.MULTILINE)
    return [name for name in names if name != "procroute.__main__"]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.startup", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--pairs", type=int, default=15, help="rounds (default 15)")
    given, _ = parser.parse_known_args()
    console = Console()

    with Lab() as lab, console.status("starting, again and again"):
        only_imports = [sys.executable, "-c", _IMPORTS.format(names=" ".join(imports_of_run(lab)))]
        commands = [RUN, BESIDE, only_imports, EMPTY]
        done = lab.run(
            [sys.executable, "-c", _TIMER, str(given.pairs), json.dumps(commands), "0"], timeout=300
        )
    if done.returncode:
        console.print(Text(done.stderr.strip(), "red"))
        return 1
    rounds = [[seconds * 1000 for seconds in times] for times in json.loads(done.stdout)]

    run, beside, imports, empty = (median(times) for times in zip(*rounds, strict=True))
    ratio = median(times[0] / times[1] for times in rounds)
    table = Table(title=f"start-up, medians of {len(rounds)} rounds", title_justify="left", box=None)
    table.add_column("")
    table.add_column("ms", justify="right")
    table.add_row("procroute run -- true", f"{run:.0f}")
    table.add_row("  interpreter", f"{empty:.0f}", style="dim")
    table.add_row("  imports", f"{imports - empty:.0f}", style="dim")
    table.add_row("  kernel, and the rest", f"{run - imports:.0f}", style="dim")
    table.add_row("from pyroute2 import IPRoute", f"{beside:.0f}")
    console.print(table)
    verdict = "[green]kept[/]" if ratio <= LIMIT else "[yellow]not kept[/]"
    console.print(f"ratio {ratio:.2f}, promised at most {LIMIT}: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
