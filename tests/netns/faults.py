"""What programs of the fault tests have in common: which call fails and how, and what is there afterwards.

A fate is written as a word: `17:ENOMEM` call 17 fails, once; `17:EPERM*` it fails, and all calls of that
name from then on; `17:before` and `17:after` the process is killed there.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from subprocess import run

ERRNOS = ("EPERM", "ENOMEM", "EBUSY", "ENOENT", "ENOBUFS")
WAYS = ("before", "after", *ERRNOS, *(f"{name}*" for name in ERRNOS))
_ASKED_A_TABLE = ("netlink", 26)  # RTM_GETROUTE, linux/rtnetlink.h
PORTS, RAN = 20000, 7
"""From which port on commands send, by which each is known; and the status that they end with."""
_STATE = """
printf 'rule\\nroute show table all\\n' | ip -N -4 -batch -
printf 'rule\\nroute show table all proto 112\\n' | ip -N -6 -batch -
nft list tables; find /run/procroute /etc/iproute2 /sys/fs/cgroup -type d 2>/dev/null
find /run/procroute /etc/iproute2 -type f 2>/dev/null; cd /proc/sys/net/ipv4/conf; grep . */src_valid_mark
"""


def state() -> list[str]:
    """What must be the same after as before, as lines."""
    return run(["sh", "-c", _STATE], capture_output=True, text=True, check=False).stdout.splitlines()


def changes(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """What is there that was not, and what is not that was."""
    return [f"+ {line}" for line in now if line not in before] + [
        f"- {line}" for line in before if line not in now
    ]


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens at which call, counted from 0. way: one of WAYS."""

    at: int
    way: str

    def __str__(self) -> str:
        return f"{self.at}:{self.way}"

    @property
    def kills(self) -> bool:
        """Whether the process ends."""
        return self.way in ("before", "after")

    def number_for(self, call: str, about: object) -> int:
        """The errno. To say that a file is gone which is there, or that a table never was, would be no fault
        but a lie."""
        if (call in ("unlink", "rmdir") or (call, about) == _ASKED_A_TABLE) and self.way.startswith("ENOENT"):
            return errno.EBUSY
        return int(getattr(errno, self.way.rstrip("*")))


def fate_of(word: str) -> Fate:
    """From its word."""
    at, way = word.split(":")
    return Fate(int(at), way)


class Hook:
    """A fault hook (procroute/kernel/faults.py). counts: whether a call counts, asked in its thread.

    log: a file; each call that counts is a line in it, with a ! before the one that met its fate.
    """

    def __init__(self, counts: Callable[[], bool], log: int) -> None:
        self._counts = counts
        self._log = log
        self._lock = threading.Lock()
        self.arm(None)

    def arm(self, fate: Fate | None) -> None:
        """Begin to count anew, with another fate."""
        with self._lock:
            self._fate = fate
            self._at = 0
            self._sticks = ""
            self._met = False
            os.ftruncate(self._log, 0)
            os.lseek(self._log, 0, os.SEEK_SET)

    def due(self, call: str, about: object) -> int:
        """See Hook of faults.py."""
        if not self._counts():
            return 0
        with self._lock:
            fate, at = self._fate, self._at
            self._at += 1
            meets = fate is not None and fate.at == at
            shown = f"{call} {about}"[:100] if call in _TOLD else call
            os.write(self._log, f"{'!' if meets else ''}{shown}\n".encode())
            if fate is None:
                return 0
            if meets:
                self._met = fate.way == "after"
                self._sticks = call if fate.way.endswith("*") else ""
                if fate.way == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                return 0 if fate.kills else fate.number_for(call, about)
            return fate.number_for(call, about) if call == self._sticks else 0

    def done(self, call: str, about: object) -> None:
        """See Hook of faults.py."""
        if self._met and self._counts():
            os.kill(os.getpid(), signal.SIGKILL)


def logged(log: int) -> tuple[list[str], str]:
    """The calls in a log, and the one that met its fate."""
    lines = os.pread(log, 1 << 20, 0).decode(errors="replace").splitlines()
    hit = next((line[1:] for line in lines if line.startswith("!")), "")
    return [line.removeprefix("!") for line in lines], hit


_TOLD = frozenset(
    {"bind", "mkdir", "netlink", "open", "removexattr", "rename", "rmdir", "setxattr", "unlink", "write"}
)
"""Calls of which it matters what they are about."""


def fates(calls: Sequence[str], part: int, parts: int, most: int | Sequence[str]) -> list[Fate]:
    """Which fates to try, of a sequence of calls, in this part of all parts.

    most: how many at most, 0: all of them; or which, as words. Of many calls of one kind in a row it is the
    first and the last; each with another way to fail than the one before.
    """
    if not isinstance(most, int):
        return [fate_of(word) for word in most]
    if not most:
        every = [Fate(at, way) for at in range(len(calls)) for way in WAYS]
        return every[part::parts]
    groups = [list(group) for _, group in itertools.groupby(range(len(calls)), lambda at: _kind(calls[at]))]
    chosen = sorted({at for group in groups for at in (group[0], group[-1])})
    # 5 and 12 have no common divisor: all ways take their turn.
    mine = [Fate(at, WAYS[5 * n % len(WAYS)]) for n, at in enumerate(chosen)][part::parts]
    most = min(most, len(mine))
    return [mine[len(mine) * n // most] for n in range(most)]


def _kind(call: str) -> str:
    """What only asks of BPF programs is one kind: it comes by the hundred."""
    name = call.split(" /", maxsplit=1)[0]
    return "ask" if name.startswith("bpf_") and not name.endswith(_DEEDS) else name


_DEEDS = ("attach", "detach2", "load", "update_elem", "delete_elem", "open")
