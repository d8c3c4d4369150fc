"""A program for the machine: it kills a run's engine before each of its steps, one by one, and restores.

    python -m tests.netns.killed FIRST EVERY RUN-OPTIONS... / RESTORE-WORDS... [/ RESTORE-WORDS...]

From step FIRST on, for EVERY so many: fork, run `true` with those options until that step, SIGKILL; say so in
one JSON line and wait for a line on stdin; then have `procroute RESTORE-WORDS` restore (several take turns),
and compare with what was there at first:

    {"step": 17, "before": "apply AddRule", "left": [...]}      what the restoring left or took
    {"steps": 143}                                              the last line: a run that came to its end

A step is a call that changes something: of the kernel interface, of libbpf, of files and cgroups.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import nftables  # noqa: F401 - once, and not in every fork

from procroute.cli.main import main as procroute
from procroute.engine import launch
from procroute.kernel import cgroups, libbpf, nft
from procroute.kernel.bpf import objects
from procroute.kernel.linux import Linux
from procroute.lab.patience import FACTOR

_MOST = 600
_STATE = """
printf 'rule\\nroute show table all\\n' | ip -N -4 -batch -
printf 'rule\\nroute show table all proto 112\\n' | ip -N -6 -batch -
nft list tables; find /run/procroute /etc/iproute2 /sys/fs/cgroup -type d 2>/dev/null
find /run/procroute /etc/iproute2 -type f 2>/dev/null; cd /proc/sys/net/ipv4/conf; grep . */src_valid_mark
"""


class Executioner:
    """Counts steps; kills this process before step `at`. Says the name of that step on the pipe."""

    def __init__(self, at: int, pipe: int) -> None:
        self._at = at
        self._pipe = pipe
        self._count = 0
        self._engine = os.getpid()

    def watch(self, owner: Any, name: str) -> None:
        """Count the calls of a function."""
        original: Callable[..., Any] = getattr(owner, name)

        def counted(*words: Any, **named: Any) -> Any:
            if os.getpid() == self._engine:
                if self._count == self._at:
                    kind = type(words[1]).__name__ if name == "apply" else ""
                    os.write(self._pipe, f"{name} {kind}".strip().encode())
                    os.kill(self._engine, signal.SIGKILL)
                self._count += 1
            return original(*words, **named)

        setattr(owner, name, counted)


def begin(options: list[str], at: int) -> str | None:
    """Start a run that is killed before step `at`; the step's name, or None when it came to its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        executioner = Executioner(at, writing)
        for owner, name in (
            (Linux, "apply"),
            (Linux, "observe"),
            (libbpf, "attach"),
            (libbpf, "detach"),
            (objects.Map, "set"),
            (objects.Map, "delete"),
            (nft, "_run"),
            (cgroups, "add_assignment"),
            (launch, "launch"),
            (os, "setxattr"),
            (os, "fork"),
            (Path, "mkdir"),
            (Path, "rmdir"),
            (Path, "unlink"),
            (Path, "replace"),
            (Path, "write_text"),
        ):
            executioner.watch(owner, name)
        os._exit(procroute(["run", *options, "--", "true"]))
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    if os.WIFSIGNALED(status):
        return said
    if status:
        raise RuntimeError(f"the run itself ended with {status}")
    return None


def state() -> list[str]:
    """What must be the same after as before."""
    return run(["sh", "-c", _STATE], capture_output=True, text=True, check=False).stdout.splitlines()


def sweep(
    steps: range, options: list[str], restores: list[list[str]], living: int
) -> Iterator[dict[str, object]]:
    """These steps, in order. living: how many assignments have processes all the time."""
    before = state()
    for turn, at in enumerate(steps):
        name = begin(options, at)
        if name is None:
            yield {"steps": at}
            return
        deadline = time.monotonic() + 5 * FACTOR
        while _living() > living and time.monotonic() < deadline:
            time.sleep(0.002)
        found: dict[str, object] = {"step": at, "before": name}
        yield found
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os._exit(procroute(restores[turn % len(restores)]))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        after = state()
        left = [f"+ {line}" for line in after if line not in before]
        left += [f"- {line}" for line in before if line not in after]
        yield found | {"left": [*left, *([f"status {status}"] if status else [])]}
        if left:
            return


def _living() -> int:
    return sum(cgroups.populated(path) for path in Path("/sys/fs/cgroup").rglob("run-*.scope"))


def main() -> int:
    """Sweep as the arguments say."""
    steps = range(int(sys.argv[1]), _MOST, int(sys.argv[2]))
    options, *restores = (part.split("\n") for part in "\n".join(sys.argv[3:]).split("\n/\n"))
    for line in sweep(steps, options, restores, _living()):
        print(json.dumps(line), flush=True)
        if "left" not in line and "steps" not in line:
            sys.stdin.readline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
