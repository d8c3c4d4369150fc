"""What a killed daemon has left in /run/procroute: its socket, its lock, what it kept of assignments, what it
had found of adapters."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from procroute import places

_FOLDERS: Final = (places.ASSIGNMENTS, places.DAMAGED)


def remove_files() -> bool:
    """Remove them, under the lock, unless a daemon lives; whether there were any."""
    lock = Path(places.DAEMON_LOCK)
    there = [path for path in map(Path, (*_FOLDERS, places.SOCKET, places.HEALTH)) if os.path.lexists(path)]
    if not there and not lock.exists():
        return False
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        for path in there:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
