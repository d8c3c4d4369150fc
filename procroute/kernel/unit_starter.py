"""The program by which systemd starts the programs of units (systemd 255 and later)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from procroute.core.hold_rules import NO_STARTER, Starter

_NAME: Final = "systemd-executor"
_LIBRARY: Final = "libsystemd-core-"


def unit_starter() -> Starter:
    """It lies beside the program of process 1, and is executed in the unit's cgroup, also for ExecStartPre=
    and the like (systemd, src/core/execute.c, exec_spawn, which has the cgroup made a part of clone3(2)). An
    earlier systemd has none: it forks itself.

    Its library is process 1's own, but for the builds that link it into the program (meson.options,
    link-executor-shared).
    """
    try:
        program = os.path.join(os.path.dirname(os.readlink("/proc/1/exe")), _NAME)
        shared = _LIBRARY.encode() in Path(program).read_bytes()
    except OSError:
        return NO_STARTER
    return Starter(program, _library() if shared else "")


def _library() -> str:
    """Where the library of process 1 is, of whichever version; empty: it has none."""
    try:
        lines = Path("/proc/1/maps").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    paths = (words[5] for line in lines if len(words := line.split(None, 5)) == 6)
    path = next((path for path in paths if os.path.basename(path).startswith(_LIBRARY)), "")
    return os.path.join(os.path.dirname(path), f"{_LIBRARY}*.so") if path else ""
