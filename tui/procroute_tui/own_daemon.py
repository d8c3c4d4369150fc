"""A daemon of one's own, where root opens the application and none runs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from procroute.client.connection import attempt, place
from procroute.errors import ProcrouteError

_PATIENCE = 15.0
"""Seconds until it must answer."""


@contextmanager
def running() -> Iterator[None]:
    """`procroute daemon` as a child; it ends with the block, and what is on a route then stays there.

    Raises ProcrouteError daemon-failed with its last words where it does not come to answer.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "procroute", "daemon"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the application, which then ends it
        )
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _answers():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    said = log.read().strip().splitlines()[-3:]
                    raise ProcrouteError(
                        "daemon-failed", "no procrouted runs, and none could be started", "; ".join(said)
                    )
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers() -> bool:
    try:
        found = attempt(place())
    except ProcrouteError:
        return False
    if found is not None:
        found.close()
    return True
