"""A program for the machine: runs of `procroute run` in which a call fails, or at which the engine is killed.

    python -m tests.netns.faulty_run JSON

JSON: part, parts and most as of fates (tests/netns/faults.py); who: whose calls, the engine's, or the
child's that becomes CMD; options of run; command: for sh, ends with 7, and $PORT tells runs apart; restores:
words for procroute. For each fate one JSON line, and it waits for a line on stdin before what is left is
removed by the restores, which take turns:

    {"fate": "17:ENOMEM", "call": "netlink 24", "port": 20017, "status": 125, "said": "...", "left": [...]}
    {"restored": [...]}                                            what that left or took
    {"calls": 143}                                                 the last line
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

import nftables  # noqa: F401 - once, and not in every fork

from procroute.cli.main import main as procroute
from procroute.engine import run as engine  # noqa: F401 - same
from procroute.kernel import cgroups, faults
from procroute.lab.patience import FACTOR
from tests.netns.faults import PORTS, RAN, Fate, Hook, changes, fates, logged, state


class Begun:
    """A run of procroute in a fork, to its end. status: negative when a signal ended it."""

    def __init__(self, words: list[str], who: str, fate: Fate | None) -> None:
        said, log = os.memfd_create("said"), os.memfd_create("log")
        pid = os.fork()
        if pid == 0:
            os.dup2(said, 1)
            os.dup2(said, 2)
            own = os.getpid()
            hook = Hook(lambda: (os.getpid() == own) == (who == "engine"), log)
            hook.arm(fate)
            faults.hook(hook)
            status = 99
            try:
                status = procroute(words)
            except BaseException:  # noqa: BLE001 - a traceback is what the test looks for
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
        self.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.said = os.pread(said, 1 << 16, 0).decode(errors="replace")
        self.calls, self.hit = logged(log)
        os.close(said)
        os.close(log)


def living() -> int:
    """How many assignments have processes."""
    return sum(cgroups.populated(path) for path in Path("/sys/fs/cgroup").rglob("run-*.scope"))


def tell(**found: object) -> None:
    """Say one line."""
    print(json.dumps(found), flush=True)


def main() -> int:
    """Sweep as the arguments say."""
    given = json.loads(sys.argv[1])
    who, restores = given["who"], given["restores"]

    def words(port: int) -> list[str]:
        command = given["command"].replace("$PORT", str(port))
        return ["run", *given["options"], "--", "sh", "-c", command]

    before, lived = state(), living()
    recorded = Begun(words(PORTS - 1), who, None)
    if recorded.status != RAN or changes(before, state()):
        raise RuntimeError(f"it does not go well without a fault: {recorded.status} {recorded.said}")
    for turn, fate in enumerate(fates(recorded.calls, given["part"], given["parts"], given["most"])):
        port = PORTS + turn
        begun = Begun(words(port), who, fate)
        deadline = time.monotonic() + 5 * FACTOR
        while living() > lived and time.monotonic() < deadline:
            time.sleep(0.002)
        tell(
            fate=str(fate),
            call=begun.hit,
            port=port,
            status=begun.status,
            said=begun.said,
            left=changes(before, state()),
        )
        sys.stdin.readline()
        restoring = Begun(restores[turn % len(restores)], "", None)
        left = changes(before, state())
        tell(restored=[*left, *([restoring.said] if restoring.status else [])])
    tell(calls=len(recorded.calls))
    return 0


if __name__ == "__main__":
    sys.exit(main())
