"""What a held start costs with the daemon itself and a rule, and where its time goes (timed_daemon.py)."""

from __future__ import annotations

import json
import sys
from typing import Final

from rich.console import Console

from procroute.lab import Lab
from tests.bench.starts import APART, HELD, back_to_back, beyond, isolated, judge, programs, show
from tests.netns.daemons import daemon
from tests.netns.holding import programs as helpers
from tests.netns.ruled import write
from tests.netns.running import until

_FILE: Final = "/run/times"
_MIGRATION: Final = "  the migration"
_PARTS: Final = ("  waits for its turn", "  before the migration", _MIGRATION, "  until the answer")
"""Of the time from when the daemon hears of an exec until it answers."""


def by_daemon(console: Console, rounds: int, count: int) -> bool:
    """Print it; whether it is within what is promised."""
    with Lab(main="both") as lab:
        helpers(lab)
        programs(lab)
        write(lab, f'[[rule]]\nexe = "{HELD}"\nvia = "wan1"\n')
        beside = [lab.path(f"/sys/fs/cgroup/bench{n}.scope") for n in range(2)]
        for one in beside:
            one.mkdir()
        try:
            with daemon(lab, sys.executable, "-m", "tests.bench.timed_daemon", _FILE) as running:
                rows = isolated(lab, beside, f"/sys/fs/cgroup/{beside[0].name}", rounds)
                parts = _parts(lab)
                cost, apart = beyond(rows, parts[_MIGRATION])
                rows |= parts | {"all but the migration": apart}
                show(console, f"the daemon, at least {APART:.0f} s apart", rows)
                kept = judge(console, cost)
                rows = back_to_back(lab, beside, count)
                rows |= {name: values[rounds:] for name, values in _parts(lab).items()}
                show(console, "the daemon, back to back", rows)
                until(lambda: not running.ps(), what="the end of what has ended")
        finally:
            for one in beside:
                one.rmdir()
    return kept


def _parts(lab: Lab) -> dict[str, list[float]]:
    rows = [json.loads(line) for line in lab.path(_FILE).read_text().splitlines()]
    return {name: [1000 * row[n] for row in rows] for n, name in enumerate(_PARTS)}
