"""Watches cgroups of its own for their last processes, in a lab's machine, and says how that went.

python empties.py all COUNT       every one of so many becomes empty; a JSON line says in what time
python empties.py removed TIMES   each is removed right after its process
python empties.py again           one is made anew by the same path
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

from procroute.kernel.emptied import Emptied

TOP = Path("/sys/fs/cgroup/watched")


def living(cgroup: Path) -> int:
    """The pid of a child in a cgroup."""
    child = os.fork()
    if not child:
        signal.pause()
    (cgroup / "cgroup.procs").write_text(str(child))
    return child


def end(child: int) -> None:
    """Let it end, and wait for that."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def told(emptied: Emptied, seconds: float) -> list[int]:
    """The keys that it tells within that time; it returns at the first."""
    ready, _, _ = select.select([emptied], [], [], seconds)
    return emptied.read() if ready else []


def remove(cgroup: Path) -> None:
    """As soon as the kernel allows it."""
    for _ in range(100_000):
        with contextlib.suppress(OSError):
            cgroup.rmdir()
            return


def every(count: int) -> dict[str, float]:
    """One child goes through all of them, so that each has been populated and is empty."""
    emptied = Emptied()
    places = [TOP / f"{n}.scope" for n in range(count)]
    child = living(TOP)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    for key, place in enumerate(places):
        place.mkdir()
        assert not emptied.add(place, key)
    watching = time.monotonic() - began
    assert sorted(emptied.read()) == list(range(count))
    assert not told(emptied, 0.05)
    found: set[int] = set()
    for place in places:
        (place / "cgroup.procs").write_text(str(child))
        found.update(emptied.read())
    assert len(found) >= count // 2  # most have told already
    end(child)
    last = time.monotonic()
    while len(found) < count and time.monotonic() < last + 5:
        found.update(told(emptied, 0.1))
    late = time.monotonic() - last
    for key, place in enumerate(places):
        emptied.remove(key)
        remove(place)
    assert not told(emptied, 0.05)
    assert not emptied._keys
    assert not emptied._within
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"found": len(found), "watching": watching, "late": late, "kilobytes": kilobytes}


def removed(times: int) -> dict[str, float]:
    """The kernel then says nothing of the last process."""
    emptied = Emptied()
    found = 0
    for key in range(times):
        place = TOP / "short.scope"
        place.mkdir()
        child = living(place)
        assert emptied.add(place, key)
        end(child)
        remove(place)
        found += told(emptied, 1) == [key]
        emptied.remove(key)
    return {"found": found}


def again() -> dict[str, float]:
    """By one key and path, but another cgroup."""
    emptied = Emptied()
    place = TOP / "again.scope"
    found = 0
    for _ in range(3):
        place.mkdir()
        child = living(place)
        assert emptied.add(place, 7)
        assert not told(emptied, 0.05)
        end(child)
        found += told(emptied, 1) == [7]
        remove(place)
        assert emptied.read() in ([], [7])
    assert not emptied.add(place, 7)
    assert emptied.read() == [7]
    assert not emptied.read()
    return {"found": found}


def main() -> None:
    """Do what is asked for."""
    TOP.mkdir()
    try:
        match sys.argv[1]:
            case "all":
                said = every(int(sys.argv[2]))
            case "removed":
                said = removed(int(sys.argv[2]))
            case _:
                said = again()
        print(json.dumps(said))
    finally:
        TOP.rmdir()


if __name__ == "__main__":
    main()
