"""A program for a box: systemd places a process, which ends before it is asked in which cgroup.

    python -m tests.systemd.ends_early SLICE

Prints the code of the error, or where it is said to be.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from subprocess import Popen
from typing import Final

from procroute.errors import ProcrouteError
from procroute.identity import SLICE
from procroute.kernel import systemd
from procroute.kernel.placement import BySystemd, Newcomer

_MOUNT: Final = Path("/sys/fs/cgroup")
_ASK: Final = systemd._Bus.control_group


def main() -> None:
    """Place one."""
    victim = Popen(["sleep", "60"])

    async def late(bus: systemd._Bus, unit: str, kind: str) -> str:
        await bus.call(systemd._TOP, systemd._MANAGER, "RefUnit", "s", [unit])  # or it would be forgotten
        victim.kill()
        victim.wait()
        while await bus.active(unit):  # noqa: ASYNC110 - nobody tells of that
            await asyncio.sleep(0.01)
        return await _ASK(bus, unit, kind)

    systemd._Bus.control_group = late  # type: ignore[assignment,method-assign]
    new = Newcomer(victim.pid, "assign-9", "it ends", "/")
    try:
        print(BySystemd(_MOUNT).place(_MOUNT / SLICE / sys.argv[1], new))
    except ProcrouteError as e:
        print(e.code)


if __name__ == "__main__":
    main()
