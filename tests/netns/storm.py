"""A program to run in the lab's machine: forks without end, so that its processes are hard to get hold of.

    python -S storm.py WORD line COUNT        so many lines, in which a child forks and its parent ends
    python -S storm.py WORD sessions COUNT    the same, each link in a session of its own
    python -S storm.py WORD threads COUNT     so many threads, each with children that come and go

It prints "up" and goes on until stdin ends. WORD: by which its processes are known.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time


def over(seconds: float = 0) -> bool:
    """Whether stdin has ended."""
    return bool(select.select([0], [], [], seconds)[0])


def line(sessions: bool) -> None:
    """Go on as one's own grandchild, over and over; the orphans are the reaper's."""
    while not over():
        if os.fork():
            os._exit(0)
        if sessions:
            os.setsid()
    os._exit(0)


def children() -> None:
    """Have children that have children."""
    while not over():
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                time.sleep(0.01)
            os._exit(0)
        os.waitpid(child, 0)


def main(how: str, count: int) -> None:
    """Begin, and stay."""
    if how == "threads":
        for _ in range(count):
            threading.Thread(target=children, daemon=True).start()
    else:
        for _ in range(count):
            if os.fork() == 0:
                line(how == "sessions")
    print("up", flush=True)
    while not over(1):
        pass
    time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[2], int(sys.argv[3]))
