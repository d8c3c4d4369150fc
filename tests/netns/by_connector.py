"""Places programs by exec events of the kernel's process connector, which come when the program runs already.

    python -m tests.netns.by_connector CGROUP.PROCS NAME     writes "ready" first; until it is killed

Where PIDs are the host's: the connector speaks to nobody else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from pyroute2.netlink.connector.cn_proc import PROC_EVENT_EXEC, ProcEventSocket


def main(procs: str, name: str) -> None:
    """As above."""
    with ProcEventSocket() as events, open(procs, "wb", buffering=0) as place:
        events.bind()
        events.control(listen=True)
        print("ready", flush=True)
        while True:
            for event in events.get():
                if event.get("what") != PROC_EVENT_EXEC:
                    continue
                pid = event["process_tgid"]
                with contextlib.suppress(OSError):
                    if Path(os.readlink(f"/proc/{pid}/exe")).name == name:
                        place.write(str(pid).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
