"""A daemon that writes down when it does what for a held start.

    python -m tests.bench.timed_daemon FILE

FILE: gets a JSON array for each start, of seconds: from when it hears of the exec until it begins in the
writer's thread, until cgroup.procs is written, what that write takes, and until the answer is sent.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from procroute.cli.main import main as procroute
from procroute.daemon.ruling import Ruling
from procroute.holder.link import Link
from procroute.holder.words import Exec
from procroute.kernel import cgroups


class Times:
    """Of one start after the other: there is but one writer's thread."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._heard: dict[int, float] = {}
        self._now: list[float] = []

    def put(self) -> None:
        """Have the daemon's parts tell the time as they go."""
        hear, answer, held, enter = Link.hear, Link.answer, Ruling.held, cgroups.enter

        def heard(link: Link) -> Any:
            for said in hear(link):
                if isinstance(said, Exec):
                    self._heard[said.event] = time.perf_counter()
                yield said

        def answered(link: Link, event: int, *, allow: bool) -> None:
            answer(link, event, allow=allow)
            self._answered(event)

        def holding(ruling: Ruling, asked: Exec, *more: Any) -> None:
            self._now = [self._heard[asked.event], time.perf_counter()]
            held(ruling, asked, *more)

        def entering(path: Path, pid: int) -> None:
            self._now.append(time.perf_counter())
            enter(path, pid)
            self._now.append(time.perf_counter())

        put: Callable[[Any, str, Any], None] = setattr
        put(Link, "hear", heard)
        put(Link, "answer", answered)
        put(Ruling, "held", holding)
        put(cgroups, "enter", entering)

    def _answered(self, event: int) -> None:
        self._heard.pop(event, None)
        at = [*self._now, time.perf_counter()]
        spans = [after - before for before, after in itertools.pairwise(at)]
        os.write(self._file, f"{json.dumps(spans)}\n".encode())


def main(file: str) -> int:
    """Until SIGTERM."""
    Times(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)).put()
    return procroute(["daemon"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
