"""`procroute` in a lab: words to start it with, what must stay as it was, and what is ours there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from procroute.lab import Lab
from procroute.lab.patience import FACTOR
from procroute.lab.snapshot import changes, snapshot

ROOT: Final = Path(__file__).resolve().parents[2]
ENVIRONMENT: Final = {"PYTHONPATH": str(ROOT)}
PROCROUTE: Final = (sys.executable, "-m", "procroute")


def run_by(adapter: str, *options: str) -> list[str]:
    """The words before a command that goes by `adapter`."""
    return [*PROCROUTE, "run", "--via", adapter, *options, "--"]


def procroute(
    lab: Lab, *words: str, env: dict[str, str] | None = None, stdin: str = "", timeout: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run `procroute` with these words in the machine."""
    return lab.run([*PROCROUTE, *words], env=ENVIRONMENT | (env or {}), stdin=stdin, timeout=timeout)


def run(
    lab: Lab, adapter: str, *command: str, options: tuple[str, ...] = (), timeout: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run a command by `adapter` to its end."""
    return lab.run([*run_by(adapter, *options), *command], env=ENVIRONMENT, timeout=timeout)


@contextmanager
def unchanged(lab: Lab) -> Iterator[None]:
    """The machine is the same afterwards as before; else AssertionError says what differs."""
    before = snapshot(lab)
    yield
    different = changes(before, snapshot(lab))
    assert not different, different


def until(true: Callable[[], object], seconds: float = 10, what: str = "it") -> float:
    """Look often until `true()` is; the seconds that it took. AssertionError when it never is."""
    began = time.monotonic()
    end = began + seconds * FACTOR
    while not true():
        assert time.monotonic() < end, f"{what} did not come true in {seconds * FACTOR} s"
        time.sleep(0.01)
    return time.monotonic() - began


def cgroups(lab: Lab) -> list[str]:
    """The cgroups of routes and assignments, from the machine's root."""
    return [path for path in lab.ask("cgroups") if f"{path}/".startswith("/procroute.slice/")]


def ours(lab: Lab) -> dict[str, str]:
    """What is ours in the machine, by kind; nothing of it is there while no route is."""
    found = {
        "rules": lab.sh(
            "{ ip -N -4 rule; ip -N -6 rule; } | grep -E '(^4[456][0-9]{2}:|goto 4400 ).*proto 112' || true"
        ),
        "entries": lab.sh(
            "{ ip -4 route show table all proto 112; ip -6 route show table all proto 112; }"
            " | grep -E 'table (7[34][0-9]{2}|7[0-9]{5}|procroute-)' || true"
        ),
        "nft": lab.sh("nft list tables inet | grep -w procroute || true"),
        "cgroups": "\n".join(cgroups(lab)),
        "files": lab.sh("ls -d /run/procroute /etc/iproute2/rt_tables.d/procroute.conf 2>/dev/null || true"),
        "programs": "\n".join(place for place in lab.ask("attached") if "/procroute.slice" in place),
    }
    return {kind: text for kind, text in found.items() if text.strip()}
