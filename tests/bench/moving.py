"""What it costs to put running processes on a route, in cgroup migrations of one process.

    python -m tests.bench.moving [COUNT]

Milliseconds, medians of COUNT rounds. In each round one process is moved by a bare write to cgroup.procs, one
is assigned, and a tree of 50 is, in turns and with a pause before each, so that none has another's grace
period for nothing. Each process holds a TCP connection, two UDP sockets and a Unix one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from procroute.core.machine import Machine
from procroute.daemon.main import SWITCH
from procroute.engine import gather, move, open_sockets
from procroute.engine.lock import lock
from procroute.engine.reconcile import reconcile
from procroute.identity import Identity
from procroute.kernel import cgroups
from procroute.kernel.linux import Linux
from procroute.kernel.pinned import identify
from procroute.lab import Lab
from procroute.model import LiveRoute, Route
from tests.netns.running import ENVIRONMENT
from tests.netns.traffic import SERVER

# Longer than the kernel stays ready for the next move (kernel/rcu/sync.c).
_PAUSE = 0.1
_TREE = 50
_SOCKETS = """
import os, signal, socket, sys
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
tcp = socket.create_connection((sys.argv[2], 7000))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.sendto(b"who", (sys.argv[2], 7000))
connected = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
connected.connect((sys.argv[3], 7000))
ends = socket.socketpair()
os.write(1, b".")
signal.pause()
"""
_children: list[subprocess.Popen[bytes]] = []


def tree(size: int) -> int:
    """A process with so many less one children, each with sockets; the PID of the first."""
    words = [sys.executable, "-S", "-c", _SOCKETS, str(size), SERVER[4], SERVER[6]]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, process_group=0)
    assert child.stdout
    with child.stdout:
        for _ in range(size):
            assert child.stdout.read(1)
    _children.append(child)
    return child.pid


def timed(what: Callable[[], object]) -> float:
    """Milliseconds."""
    time.sleep(_PAUSE)
    began = time.monotonic()
    what()
    return (time.monotonic() - began) * 1000


def end() -> None:
    """End all trees."""
    while _children:
        child = _children.pop()
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def measure(count: int) -> None:
    """Print what there is to know."""
    sys.setswitchinterval(SWITCH)
    with Linux(Identity()) as linux, lock(), contextlib.ExitStack() as stack:
        stack.callback(end)
        live = LiveRoute(Route("wan1"), 1)
        observed = reconcile(linux, linux.identity, lambda _: [live])
        target, machine = linux.path(1), observed.machine
        bare, one, many = [], [], []
        parts: list[tuple[float, float]] = []
        for _ in range(count):
            first, second, third = tree(1), tree(1), tree(_TREE)
            path = cgroups.add_assignment(target, "bench", "/")
            bare.append(timed(lambda: cgroups.enter(path, first)))  # noqa: B023
            one.append(timed(lambda: parts.append(assign(linux, live, machine, target, second, tree=False))))  # noqa: B023
            many.append(timed(lambda: assign(linux, live, machine, target, third, tree=True)))  # noqa: B023
            end()
    base = statistics.median(bare)
    processes = sum(name.isdecimal() for name in os.listdir("/proc"))
    print(f"bare migration of one        {base:7.2f} ms, from {min(bare):.2f} to {max(bare):.2f}")
    for name, times, bound in (("assign one", one, 2), (f"assign a tree of {_TREE}", many, 3)):
        median = statistics.median(times)
        print(
            f"{name:<28} {median:7.2f} ms, from {min(times):.2f} to {max(times):.2f}: "
            f"{median / base:.2f} x (at most {bound})"
        )
    gathers, follows = zip(*parts, strict=True)
    print(
        f"of one: gather {statistics.median(gathers):.2f} ms, follow {statistics.median(follows):.2f} ms; "
        f"{processes} processes in sight"
    )


def assign(
    linux: Linux, live: LiveRoute, machine: Machine, target: Path, pid: int, *, tree: bool
) -> tuple[float, float]:
    """As the daemon does; how long the parts took."""
    path = cgroups.add_assignment(target, "bench", "/")
    known = identify(pid)
    assert known
    began = time.monotonic()
    ahead = open_sockets.Ahead([pid], tree=tree)
    gathered = gather.gather(path, [known], tree=tree, likely=ahead.descendants)
    between = time.monotonic()
    moved = move.follow(linux.identity, live, path, machine, ahead=ahead, gathered=gathered)
    size = _TREE if tree else 1
    assert (len(gathered.members), moved.follow, moved.remain) == (size, size, 2 * size), (gathered, moved)
    return (between - began) * 1000, (time.monotonic() - between) * 1000


def main() -> None:
    """Run oneself in a lab."""
    count = sys.argv[1] if len(sys.argv) > 1 else "20"
    if os.environ.get("IN_LAB"):
        measure(int(count))
        return
    with Lab(main="both") as lab:
        words = [sys.executable, "-m", "tests.bench.moving", count]
        done = lab.run(words, env={**ENVIRONMENT, "IN_LAB": "1"}, timeout=60)
    print(done.stdout + done.stderr, end="")


if __name__ == "__main__":
    main()
