"""A program for the machine: procrouted whose keeper gets no CPU until all else is at work."""

from __future__ import annotations

import sys
import time
from typing import Final

from procroute.cli.main import main as procroute
from procroute.daemon.keeper import Keeper

SECONDS: Final = 1.0
_LIVE: Final = Keeper._live


def _late(self: Keeper) -> None:
    time.sleep(SECONDS)
    _LIVE(self)


if __name__ == "__main__":
    Keeper._live = _late  # type: ignore[method-assign]
    sys.exit(procroute(["daemon"]))
