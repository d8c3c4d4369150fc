"""One daemon at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from procroute.engine.lock import lock, release_directory
from procroute.errors import ProcrouteError
from procroute.kernel import files
from procroute.places import DAEMON_LOCK

_ALONE: Final = Path(DAEMON_LOCK)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Be the only daemon. Raises ProcrouteError daemon-running."""
    while True:
        files.mkdir(_ALONE.parent, 0o755, parents=True, exist_ok=True)
        descriptor = os.open(_ALONE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last daemon may have removed the file while we opened it.
            if os.path.samestat(os.stat(_ALONE), os.fstat(descriptor)):
                break
        except BlockingIOError as e:
            hint = "pgrep -af 'procroute(d| daemon)' finds it"
            raise ProcrouteError("daemon-running", "a procrouted runs already", hint) from e
        except FileNotFoundError:
            pass
        os.close(descriptor)
    try:
        yield
    finally:
        files.unlink(_ALONE, missing_ok=True)
        with lock():
            release_directory()
        os.close(descriptor)
