"""What a killed daemon has left: in /run/procroute its socket, its lock, what it kept of assignments, what it
had found of adapters; and the holder of execs, which outlives it, or the files of one that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Final

from procroute import places
from procroute.holder import link

_OF_THE_DAEMON: Final = (places.ASSIGNMENTS, places.DAMAGED, places.SOCKET, places.HEALTH)
_OF_THE_HOLDER: Final = (places.HOLD_SOCKET, places.HOLD_LOCK)
_SECONDS: Final = 2.0
"""So long is waited for the holder's end."""


def remove() -> bool:
    """Remove it, under the lock, unless a daemon lives; whether there was any. No start is held any more."""
    there = [path for path in (*_OF_THE_DAEMON, *_OF_THE_HOLDER) if os.path.lexists(path)]
    if not there and not os.path.lexists(places.DAEMON_LOCK):
        return False
    descriptor = _locked(places.DAEMON_LOCK)
    if descriptor is None:
        return False
    try:
        if places.HOLD_LOCK in there:
            _end_holder()
        _remove(places.DAEMON_LOCK, *(path for path in there if path in _OF_THE_DAEMON))
    finally:
        os.close(descriptor)
    return True


def lives() -> bool:
    """Whether a daemon runs. Raises OSError, as where we are not root."""
    if not os.path.lexists(places.DAEMON_LOCK):
        return False
    descriptor = _locked(places.DAEMON_LOCK)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _end_holder() -> None:
    """With nothing to hold, and no daemon, it ends, and its files go; one that was killed has left them."""
    try:
        if (found := link.connected()) is not None:
            found.hold(())
            found.close()
            until = time.monotonic() + _SECONDS
            while os.path.lexists(places.HOLD_LOCK) and time.monotonic() < until:
                time.sleep(0.01)
    except (EOFError, OSError):
        pass  # it has ended
    if os.path.lexists(places.HOLD_LOCK) and (descriptor := _locked(places.HOLD_LOCK)) is not None:
        _remove(*_OF_THE_HOLDER)
        os.close(descriptor)


def _locked(lock: str) -> int | None:
    """A descriptor that has this lock; None: whoever it is of lives."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(*paths: str) -> None:
    for path in map(Path, paths):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
