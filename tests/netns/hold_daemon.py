"""The daemon's side of the holder, for tests: places who is held, or does what else it is told.

    python -m tests.netns.hold_daemon CGROUP

Reads a JSON object a line: {"hold": [RULE, …]}, {"do": "place" | "allow" | "deny" | "nothing"},
{"run": PROGRAM}, which it waits for, {"busy": [EVENT, …]} or {"allow": EVENT}; writes what the holder says,
each with its kind as "said" and the seconds that "placing" took, "Does" and "Ran". Places by writing the PID
to CGROUP/cgroup.procs. When the holder has ended it starts another one, as soon as it is told rules.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from typing import Any

from procroute.core.hold_rules import HoldRule
from procroute.holder.link import Link, opened
from procroute.holder.words import Exec


def main(cgroup: str) -> None:
    """Until stdin ends."""
    link: Link | None = None
    do = "place"
    rest = b""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    link = opened()
    poll.register(link.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == 0:
                data = os.read(0, 1 << 16)  # not by a buffer: poll does not see what lies there
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for told in map(json.loads, lines):
                    if "do" in told:
                        do = told["do"]
                        print(json.dumps({"said": "Does", "do": do}), flush=True)
                    if "run" in told:
                        done = subprocess.run([told["run"]], check=False, stdout=subprocess.DEVNULL)
                        print(json.dumps({"said": "Ran", "status": done.returncode}), flush=True)
                    if "hold" in told and link is None:
                        link = opened()
                        poll.register(link.fileno(), select.POLLIN)
                    if link is not None:
                        _say(link, told)
            elif link is not None:
                try:
                    _hear(link, do, cgroup)
                except EOFError:
                    print(json.dumps({"said": "Gone"}), flush=True)
                    poll.unregister(descriptor)
                    link.close()
                    link = None


def _say(link: Link, told: dict[str, Any]) -> None:
    if "busy" in told:
        link.busy(told["busy"])
    if "allow" in told:
        link.answer(told["allow"], allow=True)
    if "hold" in told:
        link.hold(HoldRule(**rule | {"paths": tuple(rule["paths"])}) for rule in told["hold"])


def _hear(link: Link, do: str, cgroup: str) -> None:
    for said in link.hear():
        began = time.perf_counter()
        if isinstance(said, Exec) and do == "place":
            place(cgroup, said.pid)
        placing = time.perf_counter() - began
        if isinstance(said, Exec) and do != "nothing":
            link.answer(said.event, allow=do != "deny")
        print(json.dumps({"said": type(said).__name__, "placing": placing, **said._asdict()}), flush=True)


def place(cgroup: str, pid: int) -> None:
    """Move a process; one that has ended is fine."""
    descriptor = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY)
    try:
        os.write(descriptor, str(pid).encode())
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1])
