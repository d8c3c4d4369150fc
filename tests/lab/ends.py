"""How labs end, from outside: owners to be killed, and what may not be left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER = """if True:
    import time
    from procroute.lab import Lab
    from tests.lab.systemd_box import SystemdBox
    lab = {lab}.__enter__()
    lab.popen(["sh", "-c", "setsid sleep 83 & mkdir -p /sys/fs/cgroup/a/b; sleep 83"])
    while not lab.path("/sys/fs/cgroup/a/b").exists():
        time.sleep(0.005)
    print(lab.machine.pid, lab._keeper.pid, lab.machine.procs, flush=True)
    time.sleep(60)
"""


@contextmanager
def owner_elsewhere(lab: str = "Lab()") -> Iterator[tuple[subprocess.Popen[str], int, int, str]]:
    """A process that holds a lab: it, the pid of the machine's init, the keeper's, and the lab's cgroup."""
    command = [sys.executable, "-c", _OWNER.format(lab=lab)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout
        init, keeper, procs = owner.stdout.readline().split()
        name = next(part for part in procs.split("/") if part.startswith("procroute-lab-"))
        try:
            yield owner, int(init), int(keeper), name
        finally:
            owner.kill()


def wait_until(what: Callable[[], bool], seconds: float = 10) -> None:
    """Return as soon as `what` is true; fail after that many seconds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether there is such a process, and not its remains only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def living(word: str) -> list[str]:
    """The command lines of processes with `word` in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and word.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def gone(word: str) -> None:
    """Fail unless, within 10 s, no process has `word` in its environment."""
    deadline = time.monotonic() + 10
    while left := living(word):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
