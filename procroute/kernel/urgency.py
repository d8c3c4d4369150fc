"""A thread that goes before all others of its processor (sched(7))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_LOWEST = os.sched_param(1)


@contextlib.contextmanager
def urgent() -> Iterator[None]:
    """Let this thread run before all that are not of the real-time kind, while the block lasts.

    The kernel leaves those a twentieth of each second (sched_rt_runtime_us). Where it refuses, all stays as
    it is.
    """
    before, kind = os.sched_getparam(0), os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, _LOWEST)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, kind, before)
