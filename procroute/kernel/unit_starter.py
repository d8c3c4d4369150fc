"""The program by which systemd starts the programs of units (systemd 255 and later)."""

from __future__ import annotations

import os
from typing import Final

_NAME: Final = "systemd-executor"


def unit_starter() -> str:
    """Its path: it lies beside the program of process 1. Empty, where that cannot be read.

    It is executed in the unit's cgroup, for ExecStartPre= and the like, too (systemd, src/core/execute.c,
    exec_spawn, which has the cgroup made a part of clone3(2)). An earlier systemd has none: it forks itself.
    """
    try:
        return os.path.join(os.path.dirname(os.readlink("/proc/1/exe")), _NAME)
    except OSError:
        return ""
